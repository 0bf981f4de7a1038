"""Rows as they really come: in sessions, on days that differ. What the two repairs are for, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.natural_variation import Variation, variation_between
from sidecar.stats import edetectors
from sidecar.stats.edetector import EDetector, threshold
from sidecar.stats.edetectors import EDetectors
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.overdispersion import Overdispersion
from sidecar.stats.tolerance import effective_tolerance

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

CELLS, FEATURES = 12, 6
TRAINING_DAYS, ROWS_A_DAY = 28, 40_000
DAYS, BUCKETS_A_DAY, ROWS_A_BUCKET = 30, 12, 800
BUCKET_S = 86_400 / BUCKETS_A_DAY
TILT = np.linspace(-1, 1, CELLS)


class World:
    """One feature whose days differ (a tilt of its distribution) and whose rows come in sessions of equal values."""

    def __init__(self, rng: np.random.Generator, day_sd: float, session: int) -> None:
        self._session = session
        self._rng = rng
        self._middle = rng.dirichlet(np.full(CELLS, 10.0))
        self._day_sd = day_sd

    def day(self, shift: float = 0.0) -> Floats:
        """The distribution of a day."""
        tilted = self._middle * np.exp((self._rng.normal(0.0, self._day_sd) + shift) * TILT)
        return np.asarray(tilted / tilted.sum())

    def rows(self, shares: Floats, rows: int) -> Counts:
        """Counts of so many rows."""
        return np.asarray(self._session * self._rng.multinomial(rows // self._session, shares), dtype=np.int64)

    def training(self) -> tuple[Counts, Variation]:
        """The baseline's counts and what its days say of their variation."""
        blocks = np.stack([self.rows(self.day(), ROWS_A_DAY) for _ in range(TRAINING_DAYS)], axis=1)
        return blocks.sum(axis=1), variation_between(blocks)


def _tolerance(counts: Counts, varied: Variation, *, natural: bool) -> float:
    """The tolerated radius, with or without what the days say."""
    n, filled = int(counts.sum()), int(np.count_nonzero(counts))
    if not natural:
        return effective_tolerance(0.005, n, filled)
    return effective_tolerance(0.005, n, filled, varied.natural, overdispersion=varied.overdispersion)


def _alarms(seed: int, day_sd: float, session: int, *, natural: bool = True) -> int:
    """False alarms in 30 days of six features that depend on nothing but their days and sessions."""
    rng = np.random.default_rng(seed)
    worlds = [World(rng, day_sd, session) for _ in range(FEATURES)]
    bar = threshold(30, BUCKET_S, FEATURES)
    detectors = []
    for world in worlds:
        counts, varied = world.training()
        tolerance = _tolerance(counts, varied, natural=natural)
        detectors.append(EDetector(counts, tolerance, bar, now=0.0, overdispersion=varied.overdispersion))
    sweep, alarms, now = EDetectors(detectors), 0, 0.0
    for _ in range(DAYS):
        days = [world.day() for world in worlds]
        for _ in range(BUCKETS_A_DAY):
            now += BUCKET_S
            sweep.close([world.rows(day, ROWS_A_BUCKET) for world, day in zip(worlds, days, strict=True)], now)
            for detector in detectors:
                if detector.alarm:
                    alarms += 1
                    detector.reset(now)
    return alarms


@pytest.mark.parametrize(("day_sd", "session"), [(0.25, 4), (0.15, 20)])
def test_a_month_of_varying_days_and_sessions_stays_within_the_budget(day_sd: float, session: int) -> None:
    assert _alarms(1, day_sd, session) <= 1


def test_without_the_repair_of_sessions_the_budget_would_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_learnt(held: Sequence[Overdispersion], buckets: Sequence[NDArray[np.uint32]]) -> None:
        for noted in held:
            noted.factor = 1.0

    monkeypatch.setattr(edetectors, "take_note", nothing_learnt)
    assert _alarms(1, 0.15, 20) > 3


def test_without_natural_variation_the_budget_would_be_broken() -> None:
    assert _alarms(1, 0.25, 4, natural=False) > 3


def test_dividing_live_counts_by_the_baselines_factor_would_throw_the_power_away() -> None:
    rng = np.random.default_rng(5)
    world = World(rng, 0.15, 4)
    counts, varied = world.training()
    assert varied.overdispersion > 20  # it holds the days' variation, times the rows of a day
    test, tolerance = TolerantTest(counts), _tolerance(counts, varied, natural=True)
    live = np.cumsum([world.rows(world.day(shift=0.9), ROWS_A_BUCKET) for _ in range(100)], axis=0)

    def rows_to_find(factor: float) -> int:
        found = test.log_e(live / factor, tolerance) >= np.log(threshold(30, BUCKET_S, FEATURES))
        return ROWS_A_BUCKET * (int(np.argmax(found)) + 1) if found.any() else 10**9

    assert rows_to_find(4) <= 8_000
    assert rows_to_find(varied.overdispersion) > 5 * rows_to_find(4)
