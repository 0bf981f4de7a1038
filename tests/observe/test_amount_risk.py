from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.observe.amount_risk import BLOCK_ROWS, REFERENCE_ROWS, AmountRisk
from sidecar.stats.exact_sum import exact_sum

NOW = 1_700_000_000.0


class Stream:
    """Absolute errors of one version, long-tailed as those of prices; each step is a batch."""

    def __init__(self, seed: int = 1) -> None:
        self.risk = AmountRisk()
        self.rng = np.random.default_rng(seed)
        self.n, self.total, self.squares, self.at = 0, 0, 0, NOW

    def add(self, errors: NDArray[np.float64], sign: int = 1) -> None:
        self.total += sign * exact_sum(errors)
        self.squares += sign * exact_sum(errors**2)

    def step(self, size: float, rows: int = BLOCK_ROWS, times: int = 1) -> list[bool]:
        states = []
        for _ in range(times):
            errors = size * self.rng.lognormal(0.0, 1.0, rows)
            self.at += 60
            self.n += rows
            self.add(errors)
            self.risk.look(self.n, self.total, self.squares, self.at)
            states.append(self.risk.finding is not None)
        return states


def test_a_version_that_is_as_far_off_as_it_was_raises_nothing() -> None:
    assert not any(any(Stream(seed).step(3.0, times=10 + 150)) for seed in range(20))


def test_a_version_that_is_further_off_is_told_with_a_bound_and_since_when() -> None:
    stream = Stream()
    assert not any(stream.step(3.0, times=40))
    worse_from = stream.at
    assert stream.step(6.0, times=15)[-1]
    finding = stream.risk.finding
    assert finding is not None
    assert 0.1 < finding.loss < 1.0, "the true error has doubled"
    assert finding.since == pytest.approx(worse_from, abs=60 * 8)
    assert finding.error > 1.5 * finding.reference_error
    assert finding.reference_n == REFERENCE_ROWS


def test_a_tenth_more_is_tolerated() -> None:
    stream = Stream(3)
    assert not any(stream.step(3.0, times=10) + stream.step(3.2, times=150))


def test_one_amount_far_out_is_no_evidence() -> None:
    stream = Stream(4)
    stream.step(3.0, times=20)
    stream.add(np.array([1e6]))
    assert not any(stream.step(3.0, times=5))


@pytest.mark.parametrize("seed", range(4))
def test_an_amount_beyond_all_others_neither_hides_nor_fakes_what_comes_after_it(seed: int) -> None:
    stream = Stream(seed)
    stream.step(3.0, times=12)
    stream.add(np.array([1e16]))
    assert not any(stream.step(3.0, times=80))
    assert stream.step(9.0, times=12)[-1]


@pytest.mark.parametrize("corrected_after", [3, 8])
def test_a_slip_among_the_first_outcomes_is_forgotten_with_its_correction(corrected_after: int) -> None:
    stream, slip = Stream(7), np.array([1e9])
    stream.step(3.0, times=2)
    stream.add(slip)
    stream.step(3.0, times=corrected_after - 2)
    stream.add(slip, -1)
    assert not any(stream.step(3.0, times=40))
    assert stream.step(9.0, times=12)[-1]


@pytest.mark.parametrize("size", [1e5, 1e9, 1e60])
def test_a_slip_that_is_corrected_after_the_reference_was_frozen_does_not_hide_what_comes(size: float) -> None:
    stream, slip = Stream(8), np.array([size])
    stream.step(3.0, times=2)
    stream.add(slip)
    assert not any(stream.step(3.0, times=20))
    stream.add(slip, -1)
    assert not any(stream.step(3.0, times=40))
    finding = stream.step(9.0, times=12)[-1] and stream.risk.finding
    assert finding
    assert finding.reference_error < 6.0


def test_a_correction_of_a_judged_outcome_leaves_the_reference_as_it_is() -> None:
    stream = Stream(9)
    stream.step(3.0, times=20)
    stream.add(np.array([-900.0]))
    stream.step(3.0, times=1)
    assert stream.step(9.0, times=12)[-1], "no thousand rows to wait for"


def test_the_alarm_ends_when_newer_outcomes_are_as_good_again_and_does_not_flap() -> None:
    stream = Stream()
    stream.step(3.0, times=20)
    assert stream.step(9.0, times=12)[-1]
    states = stream.step(2.5, times=30)
    assert states[0], "one good block is no evidence"
    assert not states[-1]
    assert sum(a != b for a, b in pairwise(states)) == 1


def test_corrections_and_counts_that_begin_anew_are_no_outcomes() -> None:
    risk = AmountRisk()
    for rows, total, squares in ((1_000, 1_000.0, 2_000.0), (990, 980.0, 1_900.0), (0, 0.0, 0.0), (1_000, 1e3, 2e3)):
        risk.look(rows, exact_sum(np.array([total])), exact_sum(np.array([squares])), NOW)
    assert risk.finding is None


def test_a_version_that_was_never_off_is_told_once_it_is() -> None:
    risk = AmountRisk()
    found = []
    for number in range(1, 60):
        more = max(number - 30, 0) * 500.0
        risk.look(number * 500, exact_sum(np.array([more])), exact_sum(np.array([more])), NOW + number)
        found.append(risk.finding)
    assert found[:30] == [None] * 30
    assert found[-1] is not None
    assert (found[-1].loss, found[-1].reference_error) == (1.0, 0.0)


def test_it_goes_on_after_a_restart_and_a_damaged_snapshot_changes_nothing() -> None:
    stream, other = Stream(), AmountRisk()
    stream.step(3.0, times=20)
    stream.step(9.0, times=12)
    other.restore(stream.risk.snapshot())
    assert other.finding == stream.risk.finding
    for damaged in (b"garbage", other.snapshot()[:-3]):
        with pytest.raises(ValueError, match=r"."):
            other.restore(damaged)
    assert other.finding == stream.risk.finding
