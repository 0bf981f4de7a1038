"""The row that builds baselines: its training set, its runs in processes of their own, its judgement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import profilers, programs, training_set
from bench.profile_run import OURS, PANDAS, WHYLOGS
from bench.rows import baseline_build
from bench.rows.baseline_build import MIB, Profiled

FAST = Profiled(rows=1_000_000, seconds=2.0, cpu_s=3.0, peak_bytes=500 * MIB)
SLOW = Profiled(rows=1_000_000, seconds=20.0, cpu_s=20.0, peak_bytes=900 * MIB)
LARGE = Profiled(rows=20_000_000, seconds=40.0, cpu_s=60.0, peak_bytes=1500 * MIB)


def test_the_training_set_has_thirty_columns_and_is_the_same_each_time() -> None:
    first, again = (training_set.chunk(3, 1_500, 500, 4_000) for _ in range(2))
    other = training_set.chunk(4, 1_500, 500, 4_000)

    def plain(column: Any) -> list[Any]:
        values = column[0] if isinstance(column, tuple) else column
        assert len(values) == 500
        found: list[Any] = np.asarray(values).astype(str).tolist()
        return found

    assert len(first) == baseline_build.COLUMNS
    assert {name: plain(column) for name, column in first.items()} == {n: plain(c) for n, c in again.items()}
    assert [name for name in first if plain(first[name]) != plain(other[name])]


def test_a_training_set_is_written_whole_and_summed_up_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "training.parquet"
    training_set.write(path, 2_000)

    found = baseline_build.profiled(OURS, path, path)

    assert list(tmp_path.iterdir()) == [path]
    assert (found.failed, found.rows) == ("", 2_000)
    assert 10 * MIB < found.peak_bytes < 1_000 * MIB
    assert found.seconds > 0


def test_a_run_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    found = baseline_build.profiled(OURS, tmp_path / "gone.parquet", tmp_path / "gone.parquet")

    assert "gone.parquet" in found.failed
    assert "\n" not in found.failed


def test_a_baseline_is_judged_against_whylogs_and_by_its_memory() -> None:
    result = baseline_build.judged(
        {OURS: [FAST, FAST], WHYLOGS: [SLOW, SLOW], PANDAS: [FAST]}, {OURS: LARGE, PANDAS: Profiled(failed="no room")}
    )

    assert [(one.against, one.met) for one in result.findings] == [(WHYLOGS, True), ("", True)]
    assert result.findings[0].reached is not None
    assert result.findings[0].reached.median == pytest.approx(10)
    assert result.tables[0].rows[0] == (OURS, "1,000,000", "500,000", "2.0", "3.0", "500")
    assert result.tables[0].rows[-1] == (PANDAS, "–", "no room", "–", "–", "–")
    assert [bar.ours for bar in result.panels[0].bars] == [True, False, False]


def test_too_slow_and_too_large_are_missed() -> None:
    large = Profiled(rows=20_000_000, seconds=40.0, peak_bytes=3_000 * MIB)
    result = baseline_build.judged({OURS: [SLOW], WHYLOGS: [SLOW], PANDAS: [SLOW]}, {OURS: large})

    assert [one.met for one in result.findings] == [False, False]


def test_what_did_not_run_is_neither_met_nor_missed() -> None:
    broken = Profiled(failed="out of memory")
    result = baseline_build.judged({OURS: [FAST], WHYLOGS: [broken], PANDAS: [FAST]}, {OURS: broken})

    assert [(one.met, one.skipped) for one in result.findings] == [
        (None, "whylogs: out of memory"),
        (None, "out of memory"),
    ]


def test_whylogs_is_asked_for_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profilers, "_READY", tmp_path / "ready")
    with pytest.raises(programs.Missing, match=r"whylogs==1\.6\.4"):
        profilers.require(install=False)
    with pytest.raises(programs.Missing, match="whylogs is not installed"):
        profilers.python()
    (tmp_path / "ready").touch()
    profilers.require(install=False)
    assert profilers.python().endswith("python")
