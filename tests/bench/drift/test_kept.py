from __future__ import annotations

from pathlib import Path

import pytest

from bench.drift.kept import Kept, found, keep
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread


def _kept(letter: str, *, quick: bool = False) -> Kept:
    result = Result(
        title=f"{letter}. Title",
        findings=[Finding(measure="a", limit=2.0, reached=Spread(1.0, 0.5, 3.0), at_least=True)],
        tables=[Table(("one", "two"), [("1", "2")])],
        panels=[Panel("bars", [Bar("own", Spread(1.0, 1.0, 1.0), ours=True)])],
        note="a note",
        elsewhere=[0.1],
    )
    return Kept(letter=letter, quick=quick, measured_at="2026-01-31 12:00", minutes=3.4, result=result)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    keep(tmp_path / "kept", _kept("E"))
    again = found(tmp_path / "kept", "E", quick=False)
    assert again is not None
    assert again.says == "E 2026-01-31 12:00 (3 min)"
    (finding,) = again.result.findings
    assert (finding.reached, finding.met) == (Spread(1.0, 0.5, 3.0), False)
    assert again.result.tables[0].rows[0] == ("1", "2")
    assert again.result.panels[0].bars[0].ours


def test_a_quick_result_is_no_full_one(tmp_path: Path) -> None:
    keep(tmp_path, _kept("A", quick=True))
    assert found(tmp_path, "A", quick=False) is None
    assert found(tmp_path, "A", quick=True) is not None


def test_what_was_not_measured_is_not_found_and_damage_is_told(tmp_path: Path) -> None:
    assert found(tmp_path, "H", quick=False) is None
    (tmp_path / "H-full.json").write_text("{")
    with pytest.raises(ValueError, match=r"."):
        found(tmp_path, "H", quick=False)
