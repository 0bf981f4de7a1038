"""wrk's result as the script writes it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import Load, LoadFailed, read_result, write_script

GOOD = 'result {"requests":1200,"seconds":3.5,"failed":1,"refused":2,"p50_ms":1.25,"p99_ms":9.5}'


def test_the_result_is_found_among_what_wrk_says() -> None:
    result = read_result(f"Running 3s test @ http://127.0.0.1\n  1 threads\n{GOOD}\n")
    assert result == Load(requests=1200, seconds=3.5, failed=1, refused=2, p50_ms=1.25, p99_ms=9.5)
    assert result.errors == 3


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("", "it said nothing"),
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "Connection refused"),
        ('result {"requests":12', "makes no sense"),
        ('result {"requests":"many"}', "makes no sense"),
    ],
)
def test_no_usable_result_is_told(output: str, says: str) -> None:
    with pytest.raises(LoadFailed, match=says):
        read_result(output)


def test_a_rate_becomes_a_pause_of_each_connection(tmp_path: Path) -> None:
    fast = write_script(tmp_path / "fast.lua", [b"{}"]).read_text()
    paced = write_script(tmp_path / "paced.lua", [b"{}"], rate_per_s=640).read_text()
    assert "delay" not in fast
    assert "function delay() return 50.000 end" in paced
