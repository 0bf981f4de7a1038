from __future__ import annotations

import numpy as np
import pytest

from sidecar.stats.support import share_alike, share_outside


@pytest.mark.parametrize("rows", [30, 300, 30_000])
def test_rows_as_in_training_count_whole_however_few_they_are(rows: int) -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(16))
    trained = rng.multinomial(50_000, shares)
    found = [share_alike(trained.tolist(), rng.multinomial(rows, shares).tolist()) for _ in range(200)]
    assert np.mean([1.0 / one for one in found]) == pytest.approx(1.0, abs=0.25)
    assert np.quantile(found, 0.1) > 0.6


def test_it_is_the_effective_sample_size_of_the_density_ratio() -> None:
    trained, shares = (4_000, 3_000, 2_000, 1_000), np.array([0.1, 0.2, 0.3, 0.4])
    live = (shares * 1_000_000).astype(int)
    ratio = shares / (np.array(trained) / 10_000)
    weights = np.repeat(ratio, trained)
    kong = weights.sum() ** 2 / (weights**2).sum() / weights.size
    assert share_alike(trained, live.tolist()) == pytest.approx(kong, abs=1e-4)


def test_all_features_together_are_never_more_alike_than_one() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        trained, live = rng.integers(1_000, 9_000, (4, 5)), rng.integers(1_000, 90_000, (4, 5))
        one = share_alike(trained.sum(axis=1).tolist(), live.sum(axis=1).tolist())
        both = share_alike(trained.ravel().tolist(), live.ravel().tolist())
        assert both <= one + 1e-3


def test_a_few_rows_where_training_had_hardly_any_do_not_decide() -> None:
    trained, live = (50_000, 49_999, 1, 0), (500, 495, 4, 1)
    assert share_alike(trained, live) > 0.9
    assert share_outside(trained, live) == 0.001


def test_of_no_rows_nothing_is_known() -> None:
    assert share_alike((10, 10), (0, 0)) == share_alike((10, 10), (1, 0)) == share_alike((0, 0), (5, 5)) == 1.0
    assert share_outside((10, 0), (0, 0)) == 0.0
    with pytest.raises(ValueError, match="cells"):
        share_alike((1, 2), (1,))
