"""May the machine promote now: what people have decided, hours, patience, and how often it has moved already.

Keeps: the machine promotes a version at most once; what was champion before is never brought back by it, whoever ended
that, until a person releases it; it never moves while a new champion is watched, and leaves itself room to roll back.
All of it is read from the audit trail, so that a restart forgets nothing.
Does not: judge gates, know how long they have passed (`control/automation` does), or roll back (`harm`).
Called by: `control/automation`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from sidecar.config_promotion import Flaps, Hours, Promotion
from sidecar.decide.promotion import MACHINE
from sidecar.standing import AuditEntry

HOLD, RELEASE = "hold", "release"
MOVES = ("start", "promote", "override", "rollback")
STOPPED = "canary_stop"
ACTIONS = (*MOVES, HOLD, RELEASE, STOPPED)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_A_DAY = 24 * 60


class Past:
    """What the trail tells of one deployment. `moved_at`: when the machine moved its champion."""

    def __init__(self, entries: Iterable[AuditEntry] = ()) -> None:
        self.moved_at: list[float] = []
        self._held: dict[str, str] = {}
        self._by_people: set[str] = set()
        for entry in entries:
            self._fold(entry)

    def _fold(self, entry: AuditEntry) -> None:
        version = entry.to_version
        if version is None:
            return
        if entry.action == HOLD:
            self._held[version] = f"{entry.actor} holds it: {entry.reason}"
            self._by_people.add(version)
        elif entry.action == RELEASE:
            self._held.pop(version, None)
            self._by_people.discard(version)
        elif entry.action == STOPPED:
            if entry.from_version is not None:
                self._held[entry.from_version] = f"as canary it was stopped by {entry.actor}"
        elif entry.action in MOVES:
            if entry.action == "rollback" and entry.from_version is not None:
                self._held[entry.from_version] = f"it was rolled back by {entry.actor}"
            # Until a person releases it: neither a way back nor a second try is the machine's to take.
            self._held.setdefault(version, "it has been champion before")
            if entry.actor == MACHINE and entry.action in ("promote", "rollback"):
                self.moved_at.append(entry.at)

    def held(self, version: str) -> str | None:
        """Why the machine may not promote this version; None where it may."""
        return self._held.get(version)

    def held_by_a_person(self, version: str) -> bool:
        """Whether somebody has said so, beside what happened."""
        return version in self._by_people

    def moves_left(self, flaps: Flaps, now: float) -> int:
        """How often the machine may still move the champion. A clock that was set back frees none."""
        return flaps.most - sum(now - at < flaps.within_s for at in self.moved_at)


def waits(policy: Promotion, past: Past, version: str, passing_s: float | None, now: float) -> str | None:
    """Why the machine does not promote this version now, in a sentence; None where it does.

    `passing_s`: for how long every gate has passed; None where one does not. `now` in seconds since the epoch.
    """
    held = past.held(version)
    if held is not None:
        return f"{held}; a person may promote it, or release it"
    if passing_s is None:
        return "not every gate passes"
    if passing_s < policy.dwell_s:
        return f"every gate has passed for {passing_s:.0f} of {policy.dwell_s:g} s"
    if not inside(policy.hours, now):
        hours = policy.hours
        return f"every gate passes; it is promoted between {hours.start} and {hours.end} ({hours.zone}) only"
    # One more than it takes: what it promotes it must be able to take back.
    if past.moves_left(policy.flaps, now) < 2:
        flaps = policy.flaps
        return f"the champion was moved too often: at most {flaps.most} times within {flaps.within_s:g} s"
    return None


def inside(hours: Hours, now: float) -> bool:
    """Whether a moment lies in the allowed hours, by the clock on the wall of their zone."""
    here = datetime.fromtimestamp(now, zone_of(hours.zone))
    minute = here.hour * 60 + here.minute
    start, end = _minutes(hours.start), _minutes(hours.end)
    if start < end:
        return start <= minute < end and _DAYS[here.weekday()] in hours.days
    # Over midnight: the hours belong to the day that they began on.
    if minute >= start:
        return _DAYS[here.weekday()] in hours.days
    return minute < end and _DAYS[(here - timedelta(days=1)).weekday()] in hours.days


def zone_of(name: str) -> tzinfo:
    """The zone of the IANA database; UTC without it. Raises ValueError, OSError for one that is not there."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return min(int(hours) * 60 + int(minutes), _MINUTES_A_DAY)
