"""A deployment's history as a picture: which version answered when, and when alarms were open.

Keeps: across in percent of the shown stretch; rows in the order of champions, then alarms by when they began; what
began before the stretch is cut at its edge and says so. Pure. Called by `dashboard`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.admin import figures
from sidecar.admin.charts import Tick, times
from sidecar.standing import Alarm, AuditEntry, DeploymentStatus

ROW, TOP = 30.0, 24.0
_MOST_ALARMS = 6
_MOST_TOLD = 8
_DONE = {"promote": "Promoted to", "rollback": "Rolled back to", "start": "Started with"}
_LEAST_S = 60.0


class Span(NamedTuple):
    """A bar from `x` of `width` percent. `kind` is a class: champion, other, or an alarm's severity.

    `version`: a version that answered; else an alarm.
    """

    x: float
    width: float
    y: float
    kind: str
    label: str
    title: str
    version: bool


class Mark(NamedTuple):
    """A transition at `x` percent."""

    x: float
    action: str
    title: str


class Timeline(NamedTuple):
    """The whole picture; `told` are (when, what) in words, the newest first; `height` is in pixels."""

    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]
    across: tuple[Tick, ...]
    told: tuple[tuple[float, str], ...]
    height: float
    hidden: int
    says: str


def timeline(
    status: DeploymentStatus, entries: Sequence[AuditEntry], alarms: Sequence[Alarm], now: float
) -> Timeline | None:
    """The stretch that holds the latest transitions and all alarms; None where the trail knows no transition."""
    steps = [entry for entry in entries if entry.to_version]
    if not steps:
        return None
    moments = [*(entry.at for entry in steps[-2:]), *(alarm.since for alarm in alarms)]
    start = min(now - _LEAST_S, min(moments) - 0.04 * max(now - min(moments), _LEAST_S))
    start = max(start, now - 30 * 86_400.0)
    reach = now - start

    def x(at: float) -> float:
        return round(100.0 * min(max((at - start) / reach, 0.0), 1.0), 3)

    spans: list[Span] = []
    marks: list[Mark] = []
    told: list[tuple[float, str]] = []
    for entry, following in zip(steps, (*steps[1:], None), strict=True):
        end = now if following is None else following.at
        if end < start:
            continue
        until = "now" if following is None else figures.moment(end)
        title = f"Version {entry.to_version} answered from {figures.moment(entry.at)} to {until}"
        kind = "champion" if following is None else "other"
        spans.append(Span(x(entry.at), x(end) - x(entry.at), TOP, kind, str(entry.to_version), title, version=True))
        if entry.at >= start:
            says = f"{_DONE.get(entry.action, entry.action)} {entry.to_version} by {entry.actor}"
            marks.append(Mark(x(entry.at), entry.action, f"{figures.moment(entry.at)}: {says}"))
            told.append((entry.at, f"{says}{f': {entry.reason}' if entry.reason else ''}"))
    shown = sorted(alarms, key=lambda alarm: (alarm.ended is not None, alarm.explained_by is not None, -alarm.since))
    for place, alarm in enumerate(sorted(shown[:_MOST_ALARMS], key=lambda alarm: alarm.since), 1):
        end = now if alarm.ended is None else alarm.ended
        until = "still open" if alarm.ended is None else f"to {figures.moment(end)}"
        title = f"{alarm.kind}, {figures.moment(alarm.since)} {until}: {alarm.says}"
        reach_x = x(end) - x(alarm.since)
        spans.append(Span(x(alarm.since), reach_x, TOP + place * ROW, alarm.severity, alarm.kind, title, version=False))
        told.append((alarm.since, f"Alarm: {alarm.says.partition('; ')[0]}"))
    return Timeline(
        tuple(spans),
        tuple(marks),
        times(start, now, 6),
        tuple(sorted(told, reverse=True)[:_MOST_TOLD]),
        TOP + (1 + min(len(shown), _MOST_ALARMS)) * ROW + 4,
        max(0, len(shown) - _MOST_ALARMS),
        f"Champions and alarms from {figures.moment(start)} to now; version {status.champion.version} answers",
    )
