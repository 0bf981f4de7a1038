from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from sidecar.stats.cbpe import Performance, ScoreCounts, at_training, calibrated_rates, estimate, score_counts

Floats = NDArray[np.float64]


def _counts(bins: int) -> st.SearchStrategy[ScoreCounts]:
    row = st.lists(st.integers(0, 50), min_size=bins, max_size=bins).map(tuple)
    return st.builds(ScoreCounts, positive=row, negative=row, outside=st.integers(0, 9), unscored=st.integers(0, 9))


@given(_counts(3), _counts(3), _counts(3))
def test_counts_add_in_any_order(one: ScoreCounts, two: ScoreCounts, three: ScoreCounts) -> None:
    assert (one + two) + three == three + (two + one)


def test_every_score_in_a_bin_of_its_own_gives_the_estimate_of_every_row() -> None:
    rng = np.random.default_rng(1)
    scores = np.sort(rng.random(300))
    edges = [*scores.tolist(), 1.1]
    trained = rng.binomial(20, scores)
    rates = calibrated_rates([20] * 300, trained)
    live = rng.permutation(300)
    called = scores >= 0.4
    found = estimate([20] * 300, trained.tolist(), score_counts(edges, scores[live], called[live]))
    right = np.where(called, rates, 1.0 - rates)
    hits = rates[called].sum()
    below = np.array([(1.0 - rates)[:index].sum() + 0.5 * (1.0 - rates)[index] for index in range(300)])
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(right.mean())
    assert found.precision is not None
    assert found.precision.value == pytest.approx(rates[called].mean())
    assert found.recall is not None
    assert found.recall.value == pytest.approx(hits / rates.sum())
    assert found.f1 is not None
    assert found.f1.value == pytest.approx(2 * hits / (called.sum() + rates.sum()))
    assert found.auc == pytest.approx((rates * below).sum() / (rates.sum() * (1.0 - rates).sum()))


def test_calibrated_rates_are_the_isotonic_fit() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        counts = rng.integers(1, 40, size=30)
        positives = rng.binomial(counts, np.linspace(0.1, 0.9, 30))
        expected = isotonic_regression(positives / counts, weights=counts).x
        assert calibrated_rates(counts, positives) == pytest.approx(expected)


def test_bins_that_training_left_empty_lie_between_their_neighbours() -> None:
    assert calibrated_rates([0, 10, 0, 0, 10, 0], [0, 2, 0, 0, 8, 0]) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 0.8])
    assert calibrated_rates([0, 0], [0, 0]).tolist() == [0.0, 0.0]


def _world(rng: np.random.Generator, rows: int, tilt: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores that overstate by far, and the truth; `tilt` moves the inputs, never the relation of score and truth."""
    scores = rng.beta(2.0 + tilt, 2.0, size=rows)
    return scores, rng.random(rows) < scores**2


@pytest.mark.parametrize("tilt", [0.0, 1.5])
def test_the_band_covers_the_realised_metrics_of_a_shifted_stream(tilt: float) -> None:
    rng = np.random.default_rng(3)
    edges = np.linspace(0.0, 1.0, 51)
    covered = {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0}
    for _ in range(300):
        trained, truth = _world(rng, 5_000, 0.0)
        counts, _ = np.histogram(trained, edges)
        positives, _ = np.histogram(trained[truth], edges)
        scores, outcomes = _world(rng, 1_000, tilt)
        called = scores >= 0.6
        found = estimate(counts.tolist(), positives.tolist(), score_counts(edges.tolist(), scores, called))
        hits = np.count_nonzero(called & outcomes)
        realised = {
            "accuracy": np.mean(called == outcomes),
            "precision": hits / called.sum(),
            "recall": hits / outcomes.sum(),
            "f1": 2 * hits / (called.sum() + outcomes.sum()),
        }
        for name, value in realised.items():
            band = getattr(found, name)
            covered[name] += band.low <= value <= band.high
    assert min(covered.values()) >= 300 * 0.96, covered
    assert max(covered.values()) <= 300


def test_the_band_of_accuracy_is_that_of_its_formula() -> None:
    # Where a bin is called positive and negative equally often, an error of its rate cancels out of the accuracy.
    counts, positives = np.array([400.0, 600.0]), np.array([100.0, 500.0])
    yes, no = np.array([300, 900]), np.array([300, 100])
    rate = (positives + 0.5) / (counts + 1)
    spread = rate * (1 - rate)
    variance = ((yes + no) * spread).sum() / 1_600**2 + (((yes - no) / 1_600) ** 2 * spread / counts).sum()
    live = ScoreCounts(tuple(yes.tolist()), tuple(no.tolist()))
    found = estimate([400, 600], [100, 500], live).accuracy
    assert found is not None
    assert (found.high - found.low) / 2 == pytest.approx(2.5758293 * math.sqrt(variance))
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_the_band_is_no_wider_than_it_must_be() -> None:
    rng = np.random.default_rng(4)
    edges = np.linspace(0.0, 1.0, 51)
    trained, truth = _world(rng, 50_000, 0.0)
    counts, _ = np.histogram(trained, edges)
    positives, _ = np.histogram(trained[truth], edges)
    scores, _ = _world(rng, 2_000, 0.0)
    found = estimate(counts.tolist(), positives.tolist(), score_counts(edges.tolist(), scores, scores >= 0.6))
    assert found.accuracy is not None
    assert found.accuracy.high - found.accuracy.low < 2 * 2.6 * math.sqrt(0.25 / 2_000)


@pytest.mark.parametrize(
    ("live", "outside", "reason"),
    [
        (ScoreCounts((500, 0), (0, 500), outside=21), 0.0, "scores lie outside"),
        (ScoreCounts((500, 0), (0, 500), unscored=25), 0.0, "scores lie outside"),
        (ScoreCounts((500, 0), (0, 500)), 0.03, "feature lies outside"),
        (ScoreCounts((10, 0), (0, 10)), 0.0, "fewer than 50"),
    ],
)
def test_out_of_support_it_refuses_in_a_sentence(live: ScoreCounts, outside: float, reason: str) -> None:
    found = estimate([500, 500], [100, 400], live, features_outside=outside)
    assert found.refused is not None
    assert reason in found.refused
    assert found == Performance(n=live.n, refused=found.refused)


def test_where_hardly_any_training_row_is_like_live_ones_it_refuses() -> None:
    live = ScoreCounts((500, 0), (0, 500))
    assert "at most 29.0% of training's rows" in str(
        estimate([500, 500], [100, 400], live, features_alike=0.29).refused
    )
    assert estimate([500, 500], [100, 400], live, features_alike=0.31).refused is None


def test_a_little_out_of_support_and_no_class_of_one_kind_is_still_an_estimate() -> None:
    found = estimate([500, 500], [100, 400], ScoreCounts((0, 0), (500, 500), outside=20), features_outside=0.02)
    assert found.refused is None
    assert found.precision is None
    assert found.recall is not None
    assert found.recall.value == 0.0
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.5)


def test_a_calibration_of_few_rows_is_refused() -> None:
    assert "fewer than 200" in str(estimate([50, 50], [5, 40], ScoreCounts((500, 0), (0, 500))).refused)


def test_training_is_judged_by_the_rule_that_live_rows_show() -> None:
    live = ScoreCounts(positive=(0, 0, 300), negative=(100, 0, 0))
    found = at_training([1_000, 10, 1_000], [100, 5, 900], live)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.9, abs=0.01)
    assert found.n == 2_010
    assert at_training([10], [5], ScoreCounts((60,), (0,))).refused is not None
    assert at_training([1_000], [5], ScoreCounts((60,), (0,))).accuracy is not None
    assert at_training([1_000], [5], ScoreCounts((0,), (0,))).refused is not None


def test_every_finite_score_stands_in_a_bin_and_what_is_beyond_is_told() -> None:
    found = score_counts([0.0, 0.5, 1.0], [-3.0, 0.0, 0.5, 1.0, math.inf, math.nan], [True] * 6)
    assert found == ScoreCounts(positive=(2, 2), negative=(0, 0), outside=2, unscored=2)
    assert score_counts([0.0, 1.0], [], []).n == 0


@pytest.mark.parametrize(
    ("edges", "scores", "called"), [([0.0], [0.1], [True]), ([0.0, 1.0], [0.1], []), ([0.0, 1.0], [[0.1]], [[True]])]
)
def test_scores_that_fit_nothing_are_refused(edges: list[float], scores: list[float], called: list[bool]) -> None:
    with pytest.raises(ValueError, match="edges"):
        score_counts(edges, scores, called)


def test_other_bins_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        ScoreCounts((1,), (1,)) + ScoreCounts((1, 2), (1, 2))
    with pytest.raises(ValueError, match="bins"):
        estimate([1, 2], [1, 1], ScoreCounts((1,), (1,)))
    with pytest.raises(ValueError, match="bins"):
        at_training([1, 2], [1, 1], ScoreCounts((1,), (1,)))
