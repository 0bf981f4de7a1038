"""Gates rehearsed from the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.admin import answers
from tests.admin.fake_record import FakeRecord

Run = Callable[..., Any]
PATH = "/v1/deployments/fraud/gates/rehearsal"


@pytest.fixture
def rehearsed(fraud: Any) -> Any:
    found = asyncio.run(FakeRecord("[bold]x").rehearsal("fraud", "4", None, 7))
    fraud.answer(PATH, answers.rehearsal(found))
    return fraud


@pytest.mark.parametrize("written", ["gates: {pairs: {min: 10}, latency: off}", "{pairs: {min: 10}, latency: off}"])
def test_the_gates_of_a_file_are_rehearsed(rehearsed: Any, sidecar: Run, tmp_path: Path, written: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(written)
    found = sidecar("gates", "fraud", "--rehearse", str(path), "--days", "30", "--challenger", "4")
    assert found.exit_code == 0, found.stderr
    gates = {"pairs": {"min": 10}, "latency": False}
    assert rehearsed.calls[-1].body == {"days": 30, "gates": gates, "challenger": "4"}
    assert (
        "challenger 4: would first have passed at 2026-01-01T00:00:00.000Z; it did not become champion" in found.stdout
    )
    assert "outcome, duration" in found.stdout
    assert "rollback 4 → 3 by alice[bold]x" in found.stdout
    assert "1 looks were kept by another version" in found.stdout


def test_days_alone_rehearse_the_gates_in_force(rehearsed: Any, sidecar: Run) -> None:
    assert sidecar("gates", "--days", "3").exit_code == 0
    assert rehearsed.calls[-1].body == {"days": 3}
    assert json.loads(sidecar("gates", "--days", "3", "--json").stdout)["hours"] == 2


@pytest.mark.parametrize("written", ["- 1", "gates: 5", "{1: 2}", "a: [", "\udcff"], ids=repr)
def test_a_file_that_holds_no_gates_is_refused(rehearsed: Any, sidecar: Run, tmp_path: Path, written: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_bytes(written.encode("utf-8", "surrogateescape"))
    found = sidecar("gates", "fraud", "--rehearse", str(path))
    assert (found.exit_code, str(path) in found.stderr, rehearsed.calls) == (2, True, [])


def test_days_beyond_what_is_kept_are_refused(sidecar: Run) -> None:
    assert sidecar("gates", "--days", "93").exit_code == 2
