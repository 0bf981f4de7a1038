"""The open alarms of all deployments: one id from an alarm's beginning to its end, whatever its kind becomes.

Keeps: an alarm that began as `drift.detected` and whose cause is found becomes `data.broken` under the same id; an
acknowledgement stays. Does not decide what is an alarm (`observe.alarms` does) and writes through what it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from sidecar.reports import AlarmChange
from sidecar.standing import Alarm

_ENDED_KEPT_S = 86_400.0


class AlarmBook:
    """Open alarms by deployment and key, and those that ended within the last day."""

    def __init__(self, stored: Iterable[Alarm]) -> None:
        self._alarms = {alarm.id: alarm for alarm in stored}

    def update(self, deployment: str, owner: str, holding: Iterable[AlarmChange], now: float) -> tuple[Alarm, ...]:
        """Makes the book agree with what holds now; returns the alarms that began, changed in kind, or ended."""
        changed: list[Alarm] = []
        still: set[str] = set()
        for change in holding:
            opened = self._open(deployment, change.key)
            identity = opened.id if opened is not None else _new_id(deployment, change.key, now)
            alarm = Alarm(
                id=identity,
                deployment=deployment,
                kind=change.kind,
                severity=change.severity,
                says=change.says,
                action=change.action,
                since=change.since,
                owner=owner,
                acknowledged=opened is not None and opened.acknowledged,
            )
            still.add(identity)
            if opened is None or (opened.kind, opened.severity) != (alarm.kind, alarm.severity):
                changed.append(alarm)
            self._alarms[identity] = alarm
        for alarm in self.open(deployment):
            if alarm.id not in still:
                ended = msgspec.structs.replace(alarm, ended=now)
                self._alarms[alarm.id] = ended
                changed.append(ended)
        self._alarms = {i: a for i, a in self._alarms.items() if a.ended is None or a.ended > now - _ENDED_KEPT_S}
        return tuple(changed)

    def _open(self, deployment: str, key: str) -> Alarm | None:
        prefix = _prefix(deployment, key)
        return next((a for a in self._alarms.values() if a.ended is None and a.id.startswith(prefix)), None)

    def open(self, deployment: str | None = None) -> tuple[Alarm, ...]:
        """Alarms that have not ended."""
        return tuple(
            a for a in self._alarms.values() if a.ended is None and (deployment is None or a.deployment == deployment)
        )

    def all(self) -> tuple[Alarm, ...]:
        """Open ones first, each group newest first."""
        return tuple(sorted(self._alarms.values(), key=lambda a: (a.ended is not None, -a.since)))

    def acknowledged(self, alarm: Alarm) -> None:
        """A person has seen it."""
        self._alarms[alarm.id] = alarm


def _prefix(deployment: str, key: str) -> str:
    return hashlib.sha256(f"{deployment}/{key}".encode("utf-8", "replace")).hexdigest()[:10] + "-"


def _new_id(deployment: str, key: str, now: float) -> str:
    return f"{_prefix(deployment, key)}{int(now * 1000):x}"
