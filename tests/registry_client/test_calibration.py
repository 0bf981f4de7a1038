from __future__ import annotations

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
