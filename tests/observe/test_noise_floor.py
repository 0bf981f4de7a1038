from __future__ import annotations

import math
import random

import pytest

from sidecar.observe.agreement import Tolerance
from sidecar.observe.noise_floor import NoiseCounts, NoiseDocument, unlike
from sidecar.records import Prediction
from sidecar.reports import NoiseFloor

TOLERANCE = Tolerance(0.01, 0.0, 0.5)


def labels(*texts: str) -> Prediction:
    return Prediction(labels=texts, scores=None)


def scores(*values: float) -> Prediction:
    return Prediction(labels=None, scores=values)


def reported(counts: NoiseCounts) -> NoiseFloor:
    found = counts.report()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (labels("1", "0"), labels("1", "1"), [False, True]),
        (scores(0.5, 0.5), scores(0.51, 0.52), [False, True]),
        (scores(math.nan, math.inf, 0.5), scores(math.nan, math.inf, math.nan), [False, False, True]),
        (labels("1"), labels("1", "0"), None),
        (labels("1"), scores(0.5), None),
        (Prediction(("1",), (0.9,)), Prediction(("1",), (0.1,)), [False]),
    ],
)
def test_rows_differ_as_they_do_in_the_comparison(
    one: Prediction, other: Prediction, expected: list[bool] | None
) -> None:
    assert unlike(one, other, TOLERANCE) == expected


def test_a_relative_tolerance_grows_with_the_champions_score() -> None:
    assert unlike(scores(100.0, 1.0), scores(104.0, 1.2), Tolerance(0.0, 0.05)) == [False, True]


def test_disagreement_is_told_above_the_champions_own() -> None:
    rng, counts = random.Random(1), NoiseCounts()
    for _ in range(3_000):
        first = scores(rng.random())
        again, challenger = (scores((first.scores or (0.0,))[0] + rng.gauss(0.0, s)) for s in (0.006, 0.02))
        assert counts.fold(first, again, challenger, TOLERANCE)
    found = reported(counts)
    assert found.self_disagreement == pytest.approx(0.1, abs=0.03)
    assert found.disagreement == pytest.approx(0.62, abs=0.04)
    assert 0.4 < found.excess.lower < found.excess.value < found.excess.upper < 0.65
    assert found.score_noise == pytest.approx(0.0118, rel=0.15)
    assert found.says is not None
    assert "not deterministic" in found.says


def test_a_model_that_repeats_itself_has_no_floor() -> None:
    counts = NoiseCounts()
    for _ in range(200):
        counts.fold(labels("1"), labels("1"), labels("1"), TOLERANCE)
    found = reported(counts)
    assert (found.self_disagreement, found.disagreement, found.says, found.score_noise) == (0.0, 0.0, None, None)
    assert found.excess.lower < 0.0 < found.excess.upper


def test_the_same_model_as_challenger_disagrees_no_more_than_it_does_with_itself() -> None:
    rng, counts = random.Random(2), NoiseCounts()
    for _ in range(3_000):
        first, again, challenger = (labels(str(int(rng.random() < 0.05))) for _ in range(3))
        counts.fold(first, again, challenger, TOLERANCE)
    excess = reported(counts).excess
    assert excess.lower < 0.0 < excess.upper


def test_answers_that_cannot_be_compared_are_not_counted() -> None:
    counts = NoiseCounts()
    assert not counts.fold(labels("1"), labels("1", "0"), labels("1"), TOLERANCE)
    assert counts.report() is None


def test_merging_adds_and_what_is_stored_comes_back() -> None:
    one, two = NoiseCounts(), NoiseCounts()
    one.fold(labels("1", "0"), labels("1", "1"), labels("0", "1"), TOLERANCE)
    two.fold(scores(0.5), scores(0.7), scores(0.5), TOLERANCE)
    one.merge(two)
    assert NoiseCounts.from_document(one.to_document()).report() == one.report()
    assert reported(one).rows == 3
    with pytest.raises(ValueError, match="asked again"):
        NoiseCounts.from_document(NoiseDocument(rows=1, both=2))
