from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.app.memory import cgroup_limit_bytes, within_machine, worker_memory_bytes
from sidecar.config import Settings

GIB = 1 << 30


def machine(root: Path, own: str, **limits: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for path, limit in limits.items():
        file = root / "sys/fs/cgroup" / path.replace("__", ".").replace("_S_", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    return root


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory__max": str(GIB)}, GIB),
        ("0::/\n", {"memory__max": "max"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a_S_b_S_memory__max": "max", "a_S_memory__max": str(GIB)}, GIB),
        ("0::/a/b\n", {"a_S_b_S_memory__max": "500", "a_S_memory__max": str(GIB)}, 500),
        ("0::/host/path\n", {"memory__max": str(GIB)}, GIB),
        ("9:memory:/x\n1:cpu:/x\n", {"memory_S_x_S_memory__limit_in_bytes": str(GIB)}, GIB),
        ("9:cpu,memory:/\n", {"memory_S_memory__limit_in_bytes": "9223372036854771712"}, None),
        ("", {"memory__max": str(GIB)}, None),
        ("nonsense\n0::\n:::\n", {"memory__max": "abc"}, None),
    ],
)
def test_the_tightest_limit_over_this_process_counts(
    tmp_path: Path, own: str, limits: dict[str, str], expected: int | None
) -> None:
    assert cgroup_limit_bytes(machine(tmp_path, own, **limits)) == expected


def test_a_machine_without_cgroups_has_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit_bytes(tmp_path) is None


def test_the_workers_share_half_of_the_limit_and_none_gets_less_than_it_needs() -> None:
    assert worker_memory_bytes(2, 4 * GIB) == GIB
    assert worker_memory_bytes(64, GIB) == 67_108_864
    assert worker_memory_bytes(2, None) == 0


def test_what_the_settings_say_counts() -> None:
    settings = Settings.model_validate({"upstream": "http://h:1", "limits": {"memory_bytes": GIB}})
    assert within_machine(settings) is settings
