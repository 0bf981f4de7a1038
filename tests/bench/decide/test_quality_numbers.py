from __future__ import annotations

from bench.decide.quality_numbers import LIMIT, apart, made_up, ours, scikit_learn


def test_every_metric_is_scikit_learns_on_the_same_rows_to_a_billionth() -> None:
    rows = made_up(6_000, seed=2)
    mine, error, _ = ours(rows)
    distances = apart(mine, scikit_learn(rows))
    assert error == 0.0
    assert len(distances) == 11
    assert max(distances.values()) <= LIMIT, distances
