from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.stats.e_bh import e_bh


def test_the_largest_count_that_its_own_bar_allows_is_rejected() -> None:
    # K = 5, q = 0.1: the bars are 50, 25, 16.7, 12.5, 10. The third passes and carries the second.
    assert e_bh([17.0, 60.0, 20.0, 1.0, 0.0], 0.1) == (1, 2, 0)
    assert e_bh([16.0, 60.0, 20.0, 1.0, 0.0], 0.1) == (1,)
    assert e_bh([49.0, 24.0, 16.0, 12.0, 9.0], 0.1) == ()
    assert e_bh([10.0] * 5, 0.1) == (0, 1, 2, 3, 4)


def test_infinite_evidence_is_rejected_and_no_evidence_is_not() -> None:
    assert e_bh([0.0, math.inf]) == (1,)
    assert e_bh([]) == ()
    assert e_bh([0.0, 0.0]) == ()


def test_the_bar_is_sharp_where_all_nulls_speak_at_once() -> None:
    # With probability q every null has E = 1/q: mean 1, and everything is rejected: the promise is met with equality.
    assert len(e_bh([20.0] * 10, 0.05)) == 10
    assert e_bh([19.99] * 10, 0.05) == ()


@pytest.mark.parametrize("dependence", ["alike", "in turn", "against each other", "independent"])
def test_the_share_of_false_discoveries_is_kept_under_any_dependence(dependence: str) -> None:
    rng = np.random.default_rng(7)
    q, nulls, moved, stake = 0.1, 40, 5, 2.0
    false_shares = []
    for _ in range(4_000):
        if dependence == "alike":
            z = np.full(nulls, rng.normal())
        elif dependence == "against each other":
            z = rng.normal() * np.where(np.arange(nulls) % 2, 1.0, -1.0)
        elif dependence == "in turn":
            z = np.full(nulls, -9.0)
            z[rng.integers(nulls)] = rng.normal() + 3
        else:
            z = rng.normal(size=nulls)
        e = np.exp(stake * z - stake**2 / 2)
        if dependence == "in turn":
            e = np.where(z > -9.0, nulls * 1.0, 0.0)  # exactly one of forty holds all the evidence: mean 1 each
        signal = np.exp(stake * rng.normal(4.0, 1.0, size=moved) - stake**2 / 2)
        found = e_bh(np.concatenate([e, signal]), q)
        false_shares.append(sum(index < nulls for index in found) / max(1, len(found)))
    error = np.std(false_shares) / math.sqrt(len(false_shares))
    assert np.mean(false_shares) <= q + 3 * error


@pytest.mark.parametrize("e_values", [[1.0, -0.1], [math.nan], [[1.0]]])
def test_what_is_no_evidence_is_refused(e_values: list[float]) -> None:
    with pytest.raises(ValueError, match="e-values"):
        e_bh(e_values)


@pytest.mark.parametrize("q", [0.0, 1.0, math.nan])
def test_a_share_outside_zero_and_one_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="share"):
        e_bh([1.0], q)
