from __future__ import annotations

import itertools

import numpy as np
import pytest

from registry_client.calibration import CALIBRATION_BINS, calibration_of
from registry_client.fine_cells import FineCells, Floats


def scored(negative: Floats, positive: Floats) -> FineCells:
    return FineCells.combined([(FineCells.of(negative), (0,)), (FineCells.of(positive), (1,))], 2)


def test_bins_hold_the_scores_between_their_edges() -> None:
    generator = np.random.default_rng(2)
    scores = generator.beta(2, 5, 30_000)
    positive = generator.random(30_000) < scores
    found = calibration_of(scored(scores[~positive], scores[positive]))
    assert len(found.counts) == CALIBRATION_BINS
    expected, _ = np.histogram(scores, found.edges)
    assert list(found.counts) == expected.tolist()
    assert list(found.positives) == np.histogram(scores[positive], found.edges)[0].tolist()
    sums, _ = np.histogram(scores, found.edges, weights=scores)
    np.testing.assert_allclose(found.means, sums / expected, rtol=1e-6)
    # The Brier score and the expected error follow from the bins.
    error = sum(abs(p - n * mean) for p, n, mean in zip(found.positives, found.counts, found.means, strict=True))
    assert error / 30_000 < 0.02


def test_bins_are_narrow_where_the_rate_changes_although_few_rows_are_there() -> None:
    generator = np.random.default_rng(3)
    # Nearly all rows are clear cases; live rows may crowd in between.
    scores = np.concatenate([generator.uniform(0.0, 0.05, 9_500), generator.uniform(0.05, 0.95, 1_000),
                             generator.uniform(0.95, 1.0, 9_500)])  # fmt: skip
    positive = generator.random(scores.size) < scores
    found = calibration_of(scored(scores[~positive], scores[positive]))
    between = [right - left for left, right in itertools.pairwise(found.edges) if left > 0.05 and right < 0.95]
    assert len(between) >= 8, "bins of equal mass would have two or three here"
    assert max(between) < 0.25
    assert len(found.counts) <= CALIBRATION_BINS
    rates = np.divide(found.positives, np.maximum(found.counts, 1))
    live = np.linspace(0.1, 0.9, 801)
    read = rates[np.searchsorted(found.edges, live, side="right") - 1]
    assert abs(read.mean() - live.mean()) < 0.03


def test_a_model_that_knows_nothing_has_bins_of_equal_mass_alone() -> None:
    generator = np.random.default_rng(4)
    found = calibration_of(scored(generator.random(5_000), np.sort(generator.random(5_000))[::-1]))
    assert 25 <= len(found.counts) <= CALIBRATION_BINS
    assert sum(found.counts) == 10_000


def test_scores_of_few_values_have_a_bin_each_and_empty_bins_their_middle() -> None:
    found = calibration_of(scored(np.array([0.2] * 3), np.array([0.2, 0.8, 0.8])))
    filled = [(n, p, mean) for n, p, mean in zip(found.counts, found.positives, found.means, strict=True) if n]
    assert [one[:2] for one in filled] == [(4, 1), (2, 2)]
    assert [one[2] for one in filled] == pytest.approx([0.2, 0.8])
    assert [mean for n, mean in zip(found.counts, found.means, strict=True) if not n] == [pytest.approx(0.5)]


def test_scores_at_the_ends_of_what_a_float_can_hold_are_counted() -> None:
    largest = float(np.finfo(np.float64).max)
    found = calibration_of(scored(np.array([-largest, largest]), np.array([0.0])))
    assert (sum(found.counts), sum(found.positives)) == (3, 1)
    assert np.isfinite(found.means).all()
