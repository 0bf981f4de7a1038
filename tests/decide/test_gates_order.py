"""Worse evidence never gives a better verdict, and less of the same evidence never passes where more of it did not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config_gates import Gates
from sidecar.decide.gates import GATES
from sidecar.reports import Copies, Interval, NoiseFloor, PairedQuality
from tests.decide.decide_samples import NOW, evidence, quality

RANK = {"fail": 0, "insufficient": 1, "pass": 2}
GATE_SETTINGS = Gates.model_validate({"outcome": {"min_matched": 100}})
SUPERIOR = Gates.model_validate({"outcome": {"min_matched": 100, "test": "superior"}})
COUNTS = st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 60_000))
INTERVALS = st.tuples(st.floats(-0.3, 0.3), st.floats(0.0, 0.2)).map(
    lambda pair: Interval(pair[0], pair[0] - pair[1], pair[0] + pair[1])
)
many = settings(max_examples=200, deadline=None)


def rank(gate: str, policies: Gates = GATE_SETTINGS, **changes: Any) -> int:
    return RANK[GATES[gate](getattr(policies, gate), evidence(**changes), NOW).verdict]


def counted(better: int, worse: int, same: int, arrival_e: float = 1.0, undecided: int = 0) -> PairedQuality:
    """Outcomes whose bounds follow from what is undecided."""
    n, lead = max(1, better + worse + same + undecided), better - worse
    bounds = (lead - undecided) / n, (lead + undecided) / n
    return quality(better, worse, same, arrival_e=arrival_e, undecided=undecided, bounds=bounds)


@many
@given(COUNTS, st.integers(0, 400), st.sampled_from([1.0, 50.0]), st.integers(0, 300), st.sampled_from(["a", "b"]))
def test_more_rows_on_which_only_the_champion_was_right_never_help(
    counts: tuple[int, int, int], more: int, arrival_e: float, undecided: int, test: str
) -> None:
    policies, (better, worse, same) = (GATE_SETTINGS if test == "a" else SUPERIOR), counts
    before = rank("outcome", policies, quality=counted(better, worse, same, arrival_e, undecided))
    moved = min(more, same)
    after = rank("outcome", policies, quality=counted(better, worse + moved, same - moved, arrival_e, undecided))
    assert after <= before
    lost = min(more, better)
    after = rank("outcome", policies, quality=counted(better - lost, worse + lost, same, arrival_e, undecided))
    assert after <= before


@many
@given(COUNTS, st.integers(2, 50), st.sampled_from(["a", "b"]))
def test_fewer_rows_of_the_same_kind_never_pass_where_all_of_them_did_not(
    counts: tuple[int, int, int], part: int, test: str
) -> None:
    policies, (better, worse, same) = (GATE_SETTINGS if test == "a" else SUPERIOR), counts
    if rank("outcome", policies, quality=counted(better, worse, same)) == RANK["pass"]:
        return
    fewer = counted(better // part, -(-worse // part), same // part)
    assert rank("outcome", policies, quality=fewer) < RANK["pass"]


@many
@given(COUNTS, st.integers(0, 400), st.integers(2, 50))
def test_errors_keep_the_same_order(counts: tuple[int, int, int], more: int, part: int) -> None:
    theirs, ours, same = counts

    def judged(champion_only: int, challenger_only: int, rest: int) -> int:
        n = champion_only + challenger_only + rest
        changes: dict[str, Any] = {
            "champion_only_failures": champion_only,
            "challenger_only_failures": challenger_only,
        }
        return rank("errors", judged_requests=n, **changes)

    before, moved = judged(theirs, ours, same), min(more, same)
    if theirs + ours + same >= 100:
        assert judged(theirs, ours + moved, same - moved) <= before
    if before < RANK["pass"]:
        assert judged(theirs // part, -(-ours // part), same // part) < RANK["pass"]


@many
@given(st.integers(0, 5_000), st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.floats(1.0, 40.0))
def test_copies_that_are_missing_never_help(mirrored: int, dropped: int, lost: int, more: int, drops_e: float) -> None:
    def judged(sent: int, not_sent: int, gone: int, e: float) -> int:
        copies = Copies(mirrored=sent, dropped={"queue_full": not_sent}, lost=min(gone, sent))
        return rank("completeness", copies=copies, drops_e=e)

    before, moved = judged(mirrored, dropped, lost, drops_e), min(more, mirrored)
    assert judged(mirrored - moved, dropped + moved, lost, drops_e) <= before
    assert judged(mirrored, dropped, lost + more, drops_e) <= before
    assert judged(mirrored, dropped, lost, drops_e + more) <= before


@many
@given(INTERVALS, st.floats(0.0, 0.3), st.floats(1.0, 5.0))
def test_a_worse_or_wider_interval_of_calibration_never_helps(gap: Interval, worse: float, wider: float) -> None:
    def judged(interval: Interval) -> int:
        known = quality(200, 100, 9_700, gaps={"ece": interval})
        champion = type(known.champion)(version="3", predicted=1, matched=1, coverage=1.0, metrics={"brier": 0.1})
        return rank("calibration", quality=PairedQuality(**_members(known) | {"champion": champion}))

    before = judged(gap)
    assert judged(Interval(gap.value + worse, gap.lower + worse, gap.upper + worse)) <= before
    half = (gap.upper - gap.lower) / 2 * wider
    if before < RANK["pass"]:
        assert judged(Interval(gap.value, gap.value - half, gap.value + half)) < RANK["pass"]


@many
@given(INTERVALS, st.floats(0.0, 0.3), st.integers(0, 1_000))
def test_more_disagreement_above_the_noise_never_helps(excess: Interval, more: float, rows: int) -> None:
    def judged(interval: Interval) -> int:
        noise = NoiseFloor(
            rows=rows, self_disagreement=0.1, disagreement=0.2, excess=interval, score_noise=None, says=None
        )
        return rank("agreement", agreement=Interval(0.5, 0.4, 0.6), noise=noise)

    assert judged(Interval(excess.value + more, excess.lower + more, excess.upper + more)) <= judged(excess)


@pytest.mark.parametrize("gate", ["outcome", "calibration"])
def test_no_outcome_is_never_a_pass(gate: str) -> None:
    assert rank(gate, quality=None) == rank(gate, quality=quality(0, 0, 0)) == RANK["insufficient"]


def _members(known: PairedQuality) -> dict[str, Any]:
    return {name: getattr(known, name) for name in known.__struct_fields__}
