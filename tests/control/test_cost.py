from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.control import cost
from sidecar.control.cost import stored_cost
from sidecar.control.decision_row import DecisionRow
from sidecar.control.decisions import Decisions
from sidecar.observe.agreement import Tolerance
from sidecar.observe.judged import RowPrediction
from tests.control.decision_samples import post, row, truth


@pytest.fixture
async def decisions(tmp_path: Path) -> AsyncIterator[Decisions]:
    opened = await Decisions.open(tmp_path)
    yield opened
    await opened.close()


async def test_what_lies_between_two_times_is_counted_with_its_outcomes(decisions: Decisions) -> None:
    decisions.record([row(f"r{at}", place, at=1_000.0 + at) for at in range(10) for place in range(2)])
    decisions.record([row("other", at=1_004.0, deployment="churn")])
    await post(decisions, truth("r4", "1"), truth("r5", "0"), truth("r9", "1"))
    found = await stored_cost(decisions, "fraud", 1_003.0, 1_007.0, Tolerance(0.01))
    assert (found.requests, found.rows, found.read, found.kept_since) == (4, 8, 8, 1_000.0)
    champion, shadow = found.versions
    assert (champion.version, champion.answered, champion.outcomes, champion.right) == ("3", 8, 2, 1)
    assert (shadow.version, shadow.shadowed, shadow.right) == ("4", 8, 1)
    (pair,) = found.pairs
    assert (pair.rows, pair.disagreements, pair.champion_right, pair.challenger_right) == (8, 8, 1, 1)
    assert pair.undecided == 6


async def test_nothing_is_counted_twice_or_left_out_at_the_borders_of_pages(
    decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_PAGE", 3)
    decisions.record([row(f"r{at // 5}-{at}", place, at=1_000.0 + at // 5) for at in range(20) for place in range(3)])
    found = await stored_cost(decisions, "fraud", 1_000.0, 1_004.0, Tolerance(0.01))
    assert (found.rows, found.read, found.versions[0].answered) == (60, 60, 60)


async def test_a_long_stretch_is_read_in_slices_over_all_of_its_time(decisions: Decisions) -> None:
    said = {"3": RowPrediction("a", None)}
    rows = [DecisionRow("fraud", f"r{at}", 0, 1_000.0 + at, 7, "3" if at < 1_000 else "4", said) for at in range(2_000)]
    decisions.record([*rows[:1_000], *(_by("4", each) for each in rows[1_000:])])
    found = await stored_cost(decisions, "fraud", 1_000.0, 3_000.0, Tolerance(0.01), most_rows=800)
    assert (found.requests, found.rows, found.read) == (2_000, 2_000, 800)
    assert sorted(version.answered for version in found.versions) == [400, 400]


def _by(version: str, each: DecisionRow) -> DecisionRow:
    said = {version: RowPrediction("a", None)}
    return DecisionRow(each.deployment, each.request_id, each.row, each.at, each.generation, version, said)


async def test_an_empty_file_says_so(decisions: Decisions) -> None:
    found = await stored_cost(decisions, "fraud", 0.0, 1e9, Tolerance(0.01))
    assert (found.requests, found.rows, found.read, found.kept_since, found.versions) == (0, 0, 0, None, ())
