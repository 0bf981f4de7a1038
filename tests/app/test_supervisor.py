from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.supervisor import Orders, Supervisor


@pytest.mark.parametrize(("said", "threads"), [(None, "1"), ("4", "4")])
def test_control_multiplies_on_one_core_unless_somebody_says_otherwise(
    said: str | None, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    if said is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", said)
    orders = Orders("config.yaml", "127.0.0.1:0", "127.0.0.1:0", 1, str(tmp_path), 1.0, tls=False, admin_tls=False)
    supervisor = Supervisor(orders, tmp_path)
    supervisor.close()

    environment = supervisor._control._environment
    assert environment is not None
    assert environment["OPENBLAS_NUM_THREADS"] == threads
    assert "PATH" in environment
