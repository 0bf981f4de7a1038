"""Outcomes find their decisions: early, late, twice, corrected, and under hostile names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.control.decision_row import DecisionRow, Joined, rows_of
from sidecar.control.decisions import Decisions
from sidecar.errors import Invalid, Unknown
from sidecar.observe.quality import RowPrediction
from sidecar.records import Exchange, Leg, Outcome, Prediction
from sidecar.reports import OutcomeCounts
from tests.control.decision_samples import EARLY_S, post, row, truth


@pytest.fixture
async def decisions(tmp_path: Path) -> AsyncIterator[Decisions]:
    opened = await Decisions.open(tmp_path, keep_s=2000.0)
    yield opened
    await opened.close()


async def test_an_outcome_posted_right_after_the_answer_is_matched(decisions: Decisions) -> None:
    decisions.record([row()])
    counts, joined = await post(decisions, truth())
    assert counts == OutcomeCounts(matched=1)
    assert joined == [Joined("fraud", "r", 0, 7, "3", row().predictions, "1", row().at, received=1100.0, seq=1)]


async def test_the_same_value_is_a_duplicate_and_another_one_a_conflict(decisions: Decisions) -> None:
    decisions.record([row()])
    await post(decisions, truth(value="1"))
    counts, joined = await post(decisions, truth(value=1.0), truth(value="0"), truth(value="1"))
    assert counts == OutcomeCounts(duplicate=2, conflict=1)
    assert joined == []
    assert (await decisions.decision("r")).outcome == ("1",)


async def test_a_correction_takes_the_first_values_place_and_says_which(decisions: Decisions) -> None:
    decisions.record([row()])
    await post(decisions, truth(value="1"))
    counts, joined = await post(decisions, truth(value="0", corrects=True))
    assert counts == OutcomeCounts(matched=1)
    assert [(one.outcome, one.replaces) for one in joined] == [("0", "1")]
    assert (await decisions.decision("r")).outcome == ("0",)
    assert (await post(decisions, truth(value="0")))[0] == OutcomeCounts(duplicate=1)


async def test_a_value_and_its_correction_in_one_call_are_joined_once(decisions: Decisions) -> None:
    decisions.record([row()])
    counts, joined = await post(decisions, truth(value="1"), truth(value="0", corrects=True))
    assert counts == OutcomeCounts(matched=2)
    assert [(one.outcome, one.replaces) for one in joined] == [("0", None)]


async def test_two_corrections_in_one_call_take_back_what_was_seen(decisions: Decisions) -> None:
    decisions.record([row()])
    await post(decisions, truth(value="a"))
    _, joined = await post(decisions, truth(value="b", corrects=True), truth(value="c", corrects=True))
    assert [(one.outcome, one.replaces) for one in joined] == [("c", "a")]


async def test_an_early_outcome_is_matched_when_its_decision_comes(decisions: Decisions) -> None:
    counts, joined = await post(decisions, truth(), truth(row=5))
    assert (counts, joined) == (OutcomeCounts(pending=2), [])
    decisions.record([row()])
    await decisions.flush()
    assert [(one.request_id, one.row, one.outcome) for one in decisions.take_joined()] == [("r", 0, "1")]
    assert decisions.take_joined() == ()
    # Row 5 is still unknown: the request had one row.
    assert await decisions.expire(1100.0 + EARLY_S + 1) == OutcomeCounts(orphan=1)
    assert (await post(decisions, truth()))[0] == OutcomeCounts(duplicate=1)


async def test_pending_ends_after_early_s(decisions: Decisions) -> None:
    await post(decisions, truth(), now=1100.0)
    assert await decisions.expire(1100.0 + EARLY_S) == OutcomeCounts()
    assert await decisions.expire(1100.0 + EARLY_S + 0.1) == OutcomeCounts(orphan=1)
    decisions.record([row()])
    await decisions.flush()
    assert decisions.take_joined() == ()


async def test_an_orphan_stays_one_until_it_is_posted_again_with_its_decision_known(decisions: Decisions) -> None:
    await post(decisions, truth(), now=1100.0)
    assert (await post(decisions, truth(), now=1500.0))[0] == OutcomeCounts(orphan=1)
    decisions.record([row(at=1500.0)])
    counts, joined = await post(decisions, truth(), now=1501.0)
    assert counts == OutcomeCounts(matched=1)
    assert len(joined) == 1


async def test_late_outcomes_are_kept_and_not_judged(decisions: Decisions) -> None:
    decisions.record([row("in"), row("out")])
    counts, joined = await post(decisions, truth("in"), now=2000.0)
    assert counts == OutcomeCounts(matched=1)
    counts, joined = await post(decisions, truth("out"), now=2000.1)
    assert (counts, joined) == (OutcomeCounts(late=1), [])
    assert (await decisions.decision("out")).outcome == ("1",)
    assert [one.request_id async for one in decisions.matched()] == ["in"]


async def test_the_first_prediction_of_a_repeated_request_id_stays(decisions: Decisions) -> None:
    again = DecisionRow("fraud", "r", 0, 1001.0, 8, "4", {"4": RowPrediction("0", None)})
    more = DecisionRow("fraud", "r", 1, 1001.0, 8, "4", {"4": RowPrediction("0", None)})
    decisions.record([row()])
    decisions.record([again, more])
    await decisions.flush()
    decisions.record([again, more])
    found = await decisions.decision("r")
    assert (found.version, found.at, found.prediction) == ("3", 1000.0, (0.9,))
    assert decisions.repeats == 4


async def test_a_large_batch_keeps_all_its_rows(decisions: Decisions) -> None:
    decisions.record([row(place=place) for place in range(4500)])
    found = await decisions.decision("r")
    assert len(found.prediction) == 4500
    assert decisions.repeats == 0


async def test_two_deployments_may_use_the_same_request_id(decisions: Decisions) -> None:
    decisions.record([row(deployment="risk", at=1002.0)])
    decisions.record([row(deployment="fraud", at=1001.0)])
    _, joined = await post(decisions, truth())
    assert [one.deployment for one in joined] == ["fraud"]  # the one that saw it first, never both
    assert (await decisions.decision("r")).deployment == "fraud"
    assert [c.matched for c in await decisions.coverage("risk")] == [0]
    assert [(c.champion, c.decided, c.matched) for c in await decisions.coverage("fraud")] == [("3", 1, 1)]
    assert [one.deployment async for one in decisions.matched()] == ["fraud"]


async def test_a_decision_tells_every_version_row_by_row(decisions: Decisions) -> None:
    second = DecisionRow("fraud", "r", 1, 1000.0, 7, "3", {"3": RowPrediction("0", None)})
    decisions.record([row(), second])
    await post(decisions, truth(value=0.5, row=1))
    found = await decisions.decision("r")
    assert (found.deployment, found.version, found.at) == ("fraud", "3", 1000.0)
    assert found.prediction == (0.9, "0")
    assert found.challengers == (("4", (0.2, None)),)
    assert found.outcome == (None, 0.5)


@pytest.mark.parametrize("request_id", ["nobody", "", "x" * 257, "\ud800"])
async def test_an_unknown_request_id_is_said_to_be_unknown(decisions: Decisions, request_id: str) -> None:
    with pytest.raises(Unknown, match="no decision has that request id"):
        await decisions.decision(request_id)


HOSTILE_IDS = (
    "'; DROP TABLE decision; --",
    "a",
    '"',
    "%",
    "_",
    "ünï",
    "🙂" * 256,
    " ",
    "\n",
    ":key_id",
    "NULL",
)


async def test_hostile_request_ids_are_data_only(decisions: Decisions) -> None:
    for request_id in HOSTILE_IDS:
        decisions.record([row(request_id)])
    counts, joined = await post(decisions, *[truth(request_id) for request_id in HOSTILE_IDS])
    assert counts == OutcomeCounts(matched=len(HOSTILE_IDS))
    assert {one.request_id for one in joined} == set(HOSTILE_IDS)
    for request_id in HOSTILE_IDS:
        assert (await decisions.decision(request_id)).outcome == ("1",)


@pytest.mark.parametrize(
    "bad",
    [
        truth(""), truth("x" * 257), truth("\ud800"), truth(row=-1), truth(row=1 << 31), truth(value=float("nan")),
        truth(value=float("inf")), truth(value="x" * 1_001), truth(value="\udfff"), truth(value=1 << 70),
        truth(at=float("nan")),
    ],
)  # fmt: skip
async def test_an_outcome_that_makes_no_sense_is_refused_with_its_place_and_nothing_is_stored(
    decisions: Decisions, bad: Outcome
) -> None:
    decisions.record([row("good")])
    with pytest.raises(Invalid, match=r"^outcomes\[1\]: "):
        await post(decisions, truth("good"), bad)
    assert (await decisions.decision("good")).outcome == (None,)


def test_rows_of_an_exchange_hold_what_each_version_said() -> None:
    leg = Leg("3", None, None, None, 0.0)
    exchange = Exchange("r", "fraud", 7, 1000.0, "/", "", "", b"", True, leg, ())
    champion = Prediction(labels=("1", "0"), scores=(0.9, 0.1))
    challenger = Prediction(labels=None, scores=(0.2,))
    rows = rows_of(exchange, {"3": champion, "4": challenger})
    assert rows == [
        DecisionRow("fraud", "r", 0, 1000.0, 7, "3", {"3": RowPrediction("1", 0.9), "4": RowPrediction(None, 0.2)}),
        DecisionRow("fraud", "r", 1, 1000.0, 7, "3", {"3": RowPrediction("0", 0.1)}),
    ]
    assert rows_of(exchange, {"4": challenger}) == []
