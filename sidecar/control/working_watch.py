"""Whether the champion works as its settings define it, and the alarm where it does not.

Keeps: it is about one version under one definition, and begins anew when either changes. Does not count outcomes (the
quality observer does). Called by: the deployment's watch.
"""

from __future__ import annotations

from sidecar.config import Deployment
from sidecar.config_comparison import Quality
from sidecar.observe.alarms import moment
from sidecar.observe.quality import QualityObserver
from sidecar.observe.working import Working
from sidecar.reports import AlarmChange

QUALITY_KEY = "quality"
_ACT = "Find out what changed with the world or the labels; roll back if the version is new, else train anew."


class WorkingWatch:
    """Of one deployment."""

    def __init__(self, deployment: Deployment, champion: str) -> None:
        self._settings, self._champion = deployment.quality, champion
        self._working = _working(deployment.quality)

    def begin(self, deployment: Deployment, champion: str) -> None:
        """Takes up settings and champion."""
        settings = deployment.quality
        same_metric = (settings.metric, settings.threshold) == (self._settings.metric, self._settings.threshold)
        if champion != self._champion or not same_metric:
            self._working = _working(settings)
        self._settings, self._champion = settings, champion

    def look(self, quality: QualityObserver, now: float) -> None:
        """Takes up what became of the champion's outcomes."""
        if self._working is not None:
            self._working.look(quality.counts(self._champion), now)

    def alarms(self) -> tuple[AlarmChange, ...]:
        """One where it does not work."""
        found = self._working.shortfall if self._working is not None else None
        if found is None or self._settings.threshold is None:
            return ()
        metric, wanted = self._settings.metric, self._settings.threshold
        least = metric != "brier"
        says = (
            f"version {self._champion} does not work as defined: its {metric} is {found.value:.3f} over the last"
            f" {found.n:,} rows that count, {'at most' if least else 'at least'} {found.bound:.3f} for certain, and"
            f" {'no less' if least else 'no more'} than {wanted:g} is wanted; since {moment(found.since)}"
        )
        return (
            AlarmChange(
                key=f"{QUALITY_KEY}/{self._champion}",
                kind="outcome.degraded",
                severity="critical",
                says=says,
                action=_ACT,
                since=found.since,
                owner=self._settings.owner,
            ),
        )

    def snapshot(self) -> bytes:
        """Everything, for the store; empty where nothing is defined."""
        return self._working.snapshot() if self._working is not None else b""

    def restore(self, snapshot: bytes) -> None:
        """Goes on where the last run left off; ValueError where it is damaged."""
        if self._working is not None and snapshot:
            self._working.restore(snapshot)


def _working(settings: Quality) -> Working | None:
    return None if settings.threshold is None else Working(settings.metric, settings.threshold)
