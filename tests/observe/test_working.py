from __future__ import annotations

import numpy as np
import pytest

from sidecar.observe.working import Metric, Working
from sidecar.stats.quality import QualityCounts

NOW = 1_700_000_000.0


class Stream:
    """A version's counts as outcomes come, ten rows a minute."""

    def __init__(self, metric: Metric, threshold: float, seed: int = 1) -> None:
        self.working = Working(metric, threshold)
        self.counts = QualityCounts()
        self.rng = np.random.default_rng(seed)
        self.at = NOW

    def rows(self, minutes: int, *, recall: float = 0.9, false: float = 0.05, brier: float = 0.05) -> list[bool]:
        told = []
        for _ in range(minutes):
            self.at += 60
            for _ in range(10):
                came_true = bool(self.rng.random() < 0.4)
                called = bool(self.rng.random() < (recall if came_true else false))
                self.counts.label("1" if called else "0", "1" if came_true else "0", positive="1")
                self.counts.add_losses(brier * 2 * self.rng.random(), 0.0)
            self.working.look(self.counts, self.at)
            told.append(self.working.shortfall is not None)
        return told


@pytest.mark.parametrize(
    ("metric", "threshold"), [("accuracy", 0.9), ("precision", 0.9), ("recall", 0.87), ("f1", 0.88), ("brier", 0.06)]
)
def test_a_version_that_is_good_enough_raises_nothing_and_one_that_is_not_does(
    metric: Metric, threshold: float
) -> None:
    stream = Stream(metric, threshold)
    assert not any(stream.rows(400))
    onset = stream.at
    assert any(stream.rows(400, recall=0.6, false=0.2, brier=0.12))
    found = stream.working.shortfall
    assert found is not None
    assert onset - 3_600 <= found.since
    if metric == "brier":
        assert threshold < found.bound <= found.value
    else:
        assert found.value <= found.bound < threshold


def test_it_ends_once_it_is_good_enough_again() -> None:
    stream = Stream("accuracy", 0.9)
    stream.rows(100, recall=0.3)
    assert stream.working.shortfall is not None
    stream.rows(200)
    assert stream.working.shortfall is None


def test_at_the_border_hardly_any_month_raises_it() -> None:
    raised = sum(any(Stream("recall", 0.85, seed).rows(200, recall=0.85)) for seed in range(20))
    assert raised <= 1


def test_a_correction_is_no_new_evidence() -> None:
    stream = Stream("accuracy", 0.9)
    stream.rows(10)
    stream.counts.label("1", "0", positive="1", sign=-1)
    stream.working.look(stream.counts, stream.at)
    assert stream.working.shortfall is None


def test_a_restart_goes_on_and_another_definition_begins_anew() -> None:
    stream = Stream("accuracy", 0.9)
    stream.rows(100, recall=0.3)
    again, other = Working("accuracy", 0.9), Working("accuracy", 0.8)
    for working in (again, other):
        working.restore(stream.working.snapshot())
    assert again.shortfall == stream.working.shortfall
    assert other.shortfall is None
    with pytest.raises(ValueError, match=r"."):
        again.restore(b"\x80")
