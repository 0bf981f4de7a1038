"""The registry's client: what fresh processes and single reads took becomes figures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench import registry_run
from bench.rows.registry_reads import IMPORT_LIMIT_MS, IMPORTS, RESOLVE_LIMIT_MS, Run, judged


def run(import_ms: float, kept_ms: float) -> Run:
    reads = {"asked": [2.0, 3.0], "kept": [kept_ms, kept_ms, 50.0], "first": [0.5]}
    return Run({name: [import_ms, import_ms, 900.0] for name in IMPORTS}, reads)


@pytest.mark.parametrize(
    ("import_ms", "kept_ms", "met"),
    [(149.0, 0.9, [True, True, True]), (151.0, 0.9, [False, True, True]), (149.0, 1.1, [True, False, True])],
)
def test_medians_are_judged_against_the_issues_limits(import_ms: float, kept_ms: float, met: list[bool]) -> None:
    found = judged([run(import_ms, kept_ms), run(import_ms, kept_ms)])
    assert [one.met for one in found.findings] == met
    assert [row[1] for row in found.tables[0].rows] == [f"{import_ms:.1f}"] * 3
    assert found.tables[1].rows[1] == ("the registry away", f"{kept_ms:.3f}", "50.000")


def test_the_limits_are_the_issues() -> None:
    assert (IMPORT_LIMIT_MS, RESOLVE_LIMIT_MS) == (150.0, 1.0)


def test_the_program_resolves_from_disk_once_the_registry_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_run, "READS", 3)
    found = asyncio.run(registry_run.measure(tmp_path))
    assert {name: len(values) for name, values in found.items()} == {"asked": 3, "kept": 3, "first": 3}
    assert not (tmp_path / "registry").exists()
