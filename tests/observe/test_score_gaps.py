from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest
from scipy.stats import spearmanr

from sidecar.observe import joint_grid
from sidecar.observe.joint_grid import JointGrid
from sidecar.observe.score_gaps import ScoreGaps


def folded(pairs: list[tuple[float, float]]) -> ScoreGaps:
    gaps = ScoreGaps()
    for pair in pairs:
        gaps.fold(*pair)
    return gaps


def scored(rows: int, noise: float, seed: int = 1, scale: float = 1.0) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    first = rng.beta(0.5, 4.0, rows) * scale
    second = first * np.exp(rng.normal(0.0, noise, rows))
    return list(zip(first.tolist(), second.tolist(), strict=True))


@pytest.mark.parametrize("noise", [0.02, 0.5, 3.0])
@pytest.mark.parametrize("scale", [1.0, 1e6, -50.0])
def test_the_rank_correlation_is_spearmans_to_a_hundredth(noise: float, scale: float) -> None:
    pairs = scored(5_000, noise, scale=scale)
    expected = float(spearmanr([one for one, _ in pairs], [two for _, two in pairs]).statistic)
    assert folded(pairs).spearman() == pytest.approx(expected, abs=0.01)


def test_a_score_that_never_changes_has_no_ranks() -> None:
    assert folded([(0.5, 0.1), (0.5, 0.2)]).spearman() is None
    assert ScoreGaps().spearman() is None


def test_joint_cells_are_bounded_and_free_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_grid, "LIMIT", 100)
    pairs = scored(2_000, 1.0, seed=2)
    whole, apart, rest = JointGrid(), JointGrid(), JointGrid()
    table = np.array(pairs)
    for start in range(0, 2_000, 100):
        whole.add_many(*table[start : start + 100].T.copy())
    apart.add_many(*table[::3].T.copy())
    rest.add_many(*table[np.arange(2_000) % 3 > 0].T.copy())
    apart.merge(rest)
    assert whole.to_document() == apart.to_document()
    assert len(whole.to_document().cells) <= 100
    assert whole.total == 2_000


def test_the_histogram_is_signed_and_holds_every_row() -> None:
    gaps = folded([(0.5, 0.52), (0.5, 0.48), (0.5, 0.5), (0.5, 0.9)])
    histogram = gaps.histogram()
    assert sum(rows for _, _, rows in histogram) == 4
    assert [rows for low, high, rows in histogram if low <= -0.02 < high] == [1]
    assert [rows for low, high, rows in histogram if low <= 0.4 < high] == [1]
    assert all(math.isfinite(edge) for low, high, _ in histogram for edge in (low, high))
    summary = gaps.summary()
    assert summary is not None
    assert summary.n == 4
    assert summary.max == pytest.approx(0.4)
    assert summary.mean == pytest.approx(0.1)
    assert summary.p50 == pytest.approx(0.02, rel=0.02)


def test_a_challengers_score_that_is_missing_or_infinite_is_counted_and_in_no_difference() -> None:
    gaps = folded([(0.5, math.nan), (0.5, math.inf), (math.nan, 0.5), (math.nan, math.nan), (0.5, 0.5)])
    assert (gaps.missing, gaps.non_finite) == (1, 1)
    summary = gaps.summary()
    assert summary is not None
    assert summary.n == 1


def test_merging_and_storing_keep_everything() -> None:
    pairs = scored(300, 0.3)
    random.Random(3).shuffle(pairs)
    one, two = folded(pairs[:100]), folded(pairs[100:])
    one.merge(two)
    again = ScoreGaps.from_document(one.to_document())
    whole = folded(pairs)
    assert again.spearman() == whole.spearman()
    assert again.histogram() == whole.histogram()
    damaged = msgspec.structs.replace(one.to_document().joint, cells=[(1, 1, 0)])
    with pytest.raises(ValueError, match="damaged"):
        JointGrid.from_document(damaged)
