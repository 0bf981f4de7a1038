"""A rehearsal as a picture: what the gates in force would have said of one challenger, hour by hour.

Keeps: across in percent of the asked time; hours with the same verdict that follow each other are one stretch; a time
of which nothing is kept stays empty. Pure. Called by `dashboard`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.admin import figures
from sidecar.admin.charts import Tick, times
from sidecar.recorded import Rehearsal, Rehearsed, RehearsedHour
from sidecar.reports import Verdict

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "insufficient", "off")
_HOUR_S = 3_600.0
_MOST_CHANGES = 8


class Stretch(NamedTuple):
    """Looks with the same verdict, `x` and `width` in percent."""

    x: float
    width: float
    verdict: Verdict
    title: str


class Change(NamedTuple):
    """From `at` on the gates would have waited for something else."""

    at: float
    champion: str
    verdict: Verdict
    blocking: tuple[str, ...]


class RehearsalView(NamedTuple):
    """`told` is None where nothing is kept of the challenger; `changes` the newest first, `hidden` older ones.

    `gates` are (name, looks by VERDICTS), those that stood in the way most often first.
    """

    told: Rehearsed | None
    stretches: tuple[Stretch, ...]
    across: tuple[Tick, ...]
    changes: tuple[Change, ...]
    hidden: int
    gates: tuple[tuple[str, tuple[int, ...]], ...]
    unreadable: int
    kept_since: float | None


def rehearsal_view(found: Rehearsal, version: str) -> RehearsalView:
    """Of one challenger."""
    told = next((each for each in found.challengers if each.challenger == version), None)
    if told is None:
        return RehearsalView(None, (), (), (), 0, (), found.unreadable, found.kept_since)
    changes = _changes(told.items)
    counts = [(name, tuple(seen.get(verdict, 0) for verdict in VERDICTS)) for name, seen in told.gates.items()]
    asked = [(name, looks) for name, looks in counts if looks[-1] < told.hours]
    return RehearsalView(
        told,
        _stretches(told.items, found.since, found.until),
        times(found.since, found.until, 6),
        tuple(reversed(changes))[:_MOST_CHANGES],
        max(0, len(changes) - _MOST_CHANGES),
        tuple(sorted(asked, key=lambda gate: (-gate[1][1] - gate[1][2], gate[0]))),
        found.unreadable,
        found.kept_since,
    )


def _stretches(items: Sequence[RehearsedHour], since: float, until: float) -> tuple[Stretch, ...]:
    made: list[Stretch] = []
    begun, end, reach = 0.0, 0.0, until - since
    for hour in items:
        if made and made[-1].verdict == hour.verdict and hour.at - end <= _HOUR_S / 2:
            made.pop()
        else:
            begun = hour.at
        end = min(hour.at + _HOUR_S, until)
        says = f"{figures.moment(begun)} to {figures.moment(end)}: {hour.verdict}"
        x = 100.0 * max(0.0, begun - since) / reach
        made.append(Stretch(round(x, 3), round(100.0 * (end - since) / reach - x, 3), hour.verdict, says))
    return tuple(made)


def _changes(items: Sequence[RehearsedHour]) -> list[Change]:
    made: list[Change] = []
    for hour in items:
        change = Change(hour.at, hour.champion, hour.verdict, hour.blocking)
        if not made or made[-1][1:] != change[1:]:
            made.append(change)
    return made
