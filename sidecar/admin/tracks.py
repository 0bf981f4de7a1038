"""What the reports said before: a short memory of figures over time, for the dashboard's lines.

Keeps: at most LIMIT moments a deployment, evenly apart: when they are full every other one is given up, so the memory
reaches back to the start at half the detail. Counts are kept as they grew, so that the share between two moments is
exact. Memory only: a restart begins anew, and the page says since when. Called by `dashboard`, driven by `api`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from array import array
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from sidecar.admin.service import Service
from sidecar.errors import SidecarError
from sidecar.reports import ComparisonReport, DriftReport
from sidecar.standing import DeploymentStatus

LIMIT = 240
EVERY_S = 5.0
_MOST_KEYS = 640
_log = logging.getLogger(__name__)


class Point(NamedTuple):
    """`value` at `at` seconds since the epoch, from `n` rows where that is known."""

    at: float
    value: float
    n: int = 0


class _Lines:
    """The figures of one deployment: a row of numbers each, as long as `times`; NaN where one was not known."""

    def __init__(self) -> None:
        self.times = array("d")
        self.values: dict[str, array[float]] = {}
        self.every = 1
        self.seen = 0

    def add(self, at: float, figures: Mapping[str, float]) -> None:
        if self.times and at <= self.times[-1]:  # a clock that was set back: a line goes on when it is past again
            return
        self.seen += 1
        if (self.seen - 1) % self.every:
            return
        for name in figures:
            if name not in self.values and len(self.values) < _MOST_KEYS:
                self.values[name] = array("d", [math.nan] * len(self.times))
        self.times.append(at)
        for name, values in self.values.items():
            values.append(figures.get(name, math.nan))
        if len(self.times) >= LIMIT:
            self.every *= 2
            self.times = self.times[::2]
            self.values = {
                name: kept for name, values in self.values.items() if not all(map(math.isnan, kept := values[::2]))
            }

    def points(self, name: str) -> list[tuple[float, float]]:
        values = self.values.get(name)
        if values is None:
            return []
        return [(at, value) for at, value in zip(self.times, values, strict=True) if not math.isnan(value)]


class Tracks:
    """Asks the service now and then, and remembers the figures."""

    def __init__(self, service: Service, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock
        self._lines: dict[str, _Lines] = {}

    async def following(self) -> AsyncIterator[None]:
        """Looks every EVERY_S while the admin application runs (aiohttp's cleanup context)."""

        async def look() -> None:
            while True:
                self.sample()
                await asyncio.sleep(EVERY_S)

        looking = asyncio.create_task(look())
        looking.add_done_callback(_tell)
        yield
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    def sample(self) -> None:
        """One look at every deployment; what the service refuses is left out."""
        now = self._clock()
        try:
            statuses = self._service.deployments()
        except SidecarError:
            return
        self._lines = {status.name: self._lines.get(status.name) or _Lines() for status in statuses}
        for status in statuses:
            self._lines[status.name].add(now, self._figures(status))

    def agreement(self, name: str, champion: str, challenger: str) -> tuple[Point, ...]:
        """The share of rows that agreed between each two moments; none where no row came."""
        lines = self._lines.get(name)
        if lines is None:
            return ()
        pairs = lines.points(f"pairs\n{champion}\n{challenger}")
        agreed = lines.points(f"agreed\n{champion}\n{challenger}")
        found = []
        for (at, rows), (_, right), (_, before), (_, right_before) in zip(
            pairs[1:], agreed[1:], pairs, agreed, strict=False
        ):
            if rows > before:  # fewer rows: the evidence began anew
                share = (right - right_before) / (rows - before)
                found.append(Point(at, min(1.0, max(0.0, share)), int(rows - before)))
        return tuple(found)

    def drift(self, name: str, feature: str) -> tuple[Point, ...]:
        """A feature's PSI against training at each moment."""
        lines = self._lines.get(name)
        return () if lines is None else tuple(Point(at, value) for at, value in lines.points(f"psi\n{feature}"))

    def _figures(self, status: DeploymentStatus) -> dict[str, float]:
        figures: dict[str, float] = {}
        try:
            drift = self._service.drift(status.name, "training")
            figures |= _psi(drift)
        except SidecarError:
            pass
        for challenger in status.challengers:
            try:
                report = self._service.comparison(status.name, challenger.version)
            except SidecarError:
                continue
            figures |= _agreed(f"{status.champion.version}\n{challenger.version}", report)
        return figures


def _psi(report: DriftReport) -> dict[str, float]:
    watched = (*report.features, *(() if report.prediction is None else (report.prediction,)))
    return {f"psi\n{feature.name}": feature.psi for feature in watched if feature.psi is not None}


def _agreed(key: str, report: ComparisonReport) -> dict[str, float]:
    if report.agreement is None:
        return {}
    return {f"pairs\n{key}": float(report.pairs), f"agreed\n{key}": float(round(report.agreement.value * report.pairs))}


def _tell(looking: asyncio.Task[None]) -> None:
    """A fault of ours ends the lines, and nothing else."""
    if not looking.cancelled() and (error := looking.exception()) is not None:
        _log.error("dashboard.lines_ended", exc_info=error)
