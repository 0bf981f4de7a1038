from __future__ import annotations

import math
import random

import pytest

from sidecar.observe.agreement import Tolerance
from sidecar.observe.cost import CostCounts
from sidecar.observe.judged import RowPrediction
from sidecar.recorded import PairCost, VersionCost


def said(label: str | None = None, score: float | None = None) -> RowPrediction:
    return RowPrediction(label, score)


def counts() -> CostCounts:
    return CostCounts(Tolerance(0.01))


def test_rows_of_each_version_and_pair_are_counted_with_who_was_right() -> None:
    found = counts()
    found.fold("3", {"3": said("yes"), "4": said("yes")}, "yes")
    found.fold("3", {"3": said("no"), "4": said("yes")}, "yes")
    found.fold("3", {"3": said("yes"), "4": said("no")}, "yes")
    found.fold("3", {"3": said("yes"), "4": said("no")}, None)
    found.fold("4", {"4": said("no")}, "yes")
    assert found.rows == 5
    assert found.versions() == (
        VersionCost(version="3", answered=4, shadowed=0, outcomes=3, right=2, wrong=1, mean_error=None),
        VersionCost(version="4", answered=1, shadowed=4, outcomes=4, right=2, wrong=2, mean_error=None),
    )
    assert found.pairs() == (
        PairCost(champion="3", other="4", rows=4, disagreements=3, champion_right=1, challenger_right=1, undecided=1),
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "differ"),
    [
        (said("a", 0.1), said("a", 0.9), 0),
        (said("a"), said("b"), 1),
        (said(score=0.5), said(score=0.51), 0),
        (said(score=0.5), said(score=0.52), 1),
        (said(score=0.5), said(score=math.nan), 1),
        (said("a"), said(score=0.5), None),
        (said(), said(), None),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_in_no_pair(mine: RowPrediction, theirs: RowPrediction, differ: int | None) -> None:
    found = counts()
    found.fold("3", {"3": mine, "4": theirs}, None)
    assert [(pair.rows, pair.disagreements) for pair in found.pairs()] == ([] if differ is None else [(1, differ)])


def test_amounts_have_an_error_and_are_neither_right_nor_wrong() -> None:
    found = counts()
    for score, truth in ((10.0, 12.0), (10.0, 9.0)):
        found.fold("3", {"3": said(score=score)}, truth)
    (version,) = found.versions()
    assert (version.outcomes, version.right, version.wrong, version.mean_error) == (2, 0, 0, 1.5)


def test_a_row_whose_champion_said_nothing_is_in_no_pair() -> None:
    found = counts()
    found.fold("3", {"4": said("yes")}, "yes")
    assert found.pairs() == ()


def test_the_order_of_rows_does_not_matter() -> None:
    rng = random.Random(7)
    rows = [
        ("3", {"3": said(rng.choice("ab")), "4": said(rng.choice("ab"))}, rng.choice(["a", "b", None]))
        for _ in range(200)
    ]
    one, other = counts(), counts()
    for row in rows:
        one.fold(*row)
    rng.shuffle(rows)
    for row in rows:
        other.fold(*row)
    assert (one.versions(), one.pairs()) == (other.versions(), other.pairs())
