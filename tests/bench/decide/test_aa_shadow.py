from __future__ import annotations

import numpy as np
import pytest

from bench.decide.aa_shadow import MARGIN, Shares, Test, _wrong, first_look, noninferior, wrong_share


@pytest.mark.parametrize(("name", "shares", "test"), _wrong(), ids=[str(place) for place in range(len(_wrong()))])
def test_a_hundred_runs_looked_at_all_the_time_hardly_ever_decide_wrongly(
    name: str, shares: Shares, test: Test
) -> None:
    share = wrong_share(shares, test, runs=100, pairs=5_000, seed=3)
    assert share <= 0.05, f"{name}: {share:.0%}"


def test_equal_models_are_found_to_be_no_worse() -> None:
    rng, looks = np.random.default_rng(5), np.arange(500, 40_001, 500)
    found = [first_look(Shares(0.01, 0.01), noninferior(MARGIN), rng, looks) for _ in range(20)]
    assert all(pairs is not None for pairs in found)


def test_counts_at_a_look_are_those_of_the_look_before_and_more() -> None:
    better, worse = Shares(0.1, 0.2).stream(np.random.default_rng(1), np.array([100, 200, 1_000]))
    assert (np.diff(better) >= 0).all()
    assert (better + worse <= np.array([100, 200, 1_000])).all()
