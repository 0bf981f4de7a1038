from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sidecar.observe.outcome_risk import BLOCK_ROWS, REFERENCE_ROWS, OutcomeRisk

NOW = 1_700_000_000.0


class Stream:
    """Outcomes of one version; each step is a batch."""

    def __init__(self, seed: int = 1) -> None:
        self.risk = OutcomeRisk()
        self.rng = np.random.default_rng(seed)
        self.errors = self.judged = 0
        self.at = NOW

    def step(self, rate: float, rows: int = BLOCK_ROWS, times: int = 1) -> list[bool]:
        states = []
        for _ in range(times):
            self.at += 60
            self.errors += int(self.rng.binomial(rows, rate))
            self.judged += rows
            self.risk.look(self.errors, self.judged, self.at)
            states.append(self.risk.finding is not None)
        return states


def test_a_version_that_stays_as_good_as_it_was_raises_nothing() -> None:
    alarmed = 0
    for seed in range(20):
        stream = Stream(seed)
        alarmed += any(stream.step(0.08, times=10 + 150))
    assert alarmed == 0


def test_a_version_that_becomes_worse_is_told_with_a_bound_and_since_when() -> None:
    stream = Stream()
    assert not any(stream.step(0.08, times=40))
    worse_from = stream.at
    assert stream.step(0.20, times=15)[-1]
    finding = stream.risk.finding
    assert finding is not None
    assert 0.0 < finding.loss < 0.14, "the true loss is 12 points"
    assert finding.since == pytest.approx(worse_from, abs=60 * 8)
    assert finding.reference_errors / finding.reference_n == pytest.approx(0.08, abs=0.03)


def test_a_loss_of_less_than_a_point_is_tolerated() -> None:
    assert not any(Stream(3).step(0.08, times=10) + Stream(3).step(0.085, times=200))


def test_the_first_outcomes_are_the_reference_however_bad() -> None:
    stream = Stream()
    assert not any(stream.step(0.5, rows=REFERENCE_ROWS))
    assert not any(stream.step(0.5, times=30))


def test_the_alarm_ends_when_newer_outcomes_are_as_good_again_and_does_not_flap() -> None:
    stream = Stream()
    stream.step(0.08, times=20)
    assert stream.step(0.25, times=12)[-1]
    states = stream.step(0.06, times=30)
    assert states[0], "one good block is no evidence"
    assert not states[-1]
    assert sum(a != b for a, b in pairwise(states)) == 1


def test_corrections_and_counts_that_begin_anew_break_nothing() -> None:
    stream = Stream()
    stream.step(0.1, times=20)
    for errors, judged in ((5, 10), (0, 0), (50, 20), (-3, 4), (10**9, 10**9), (2, 10**9 + 1)):
        stream.risk.look(errors, judged, stream.at)
    assert stream.risk.finding is None or stream.risk.finding.n > 0


def test_it_goes_on_after_a_restart() -> None:
    stream = Stream()
    stream.step(0.08, times=20)
    stream.step(0.3, times=10)
    second = OutcomeRisk()
    second.restore(stream.risk.snapshot())
    assert second.finding == stream.risk.finding
    assert second.snapshot() == stream.risk.snapshot()


@pytest.mark.parametrize("damage", [b"", b"\x93\x01\x02\x03", b"garbage"])
def test_a_damaged_snapshot_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        OutcomeRisk().restore(damage)
