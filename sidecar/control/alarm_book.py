"""The open alarms of all deployments: one id from an alarm's beginning to its end, whatever its kind becomes.

Keeps: an alarm that began as `drift.detected` and whose cause is found becomes `data.broken` under the same id, and
never goes back; its
beginning and an acknowledgement stay; what it says is as fresh as the last look. What changed is `unsaved` until it
was written, so that a disk that was full for a while loses nothing.
Does not: decide what is an alarm (`observe` does), or write. Called by the rounds and the desk.
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
        self._unsaved: set[str] = set()

    def update(
        self, deployment: str, owner: str, holding: Iterable[AlarmChange], now: float, *, inputs_known: bool = True
    ) -> tuple[Alarm, ...]:
        """Makes the book agree with what holds now; returns the alarms that began, changed in kind, or ended.

        Without `inputs_known` nobody can say that an alarm about inputs or predictions is over: it stays.
        """
        changed: list[Alarm] = []
        still: set[str] = set()
        for change in holding:
            opened = self._open(deployment, change.key)
            if opened is not None and opened.kind == "data.broken" and change.kind == "drift.detected":
                # A new watch has too few rows to name the cause again. What was known stays known until the end.
                still.add(opened.id)
                continue
            alarm = Alarm(
                id=opened.id if opened is not None else _new_id(deployment, change.key, now),
                deployment=deployment,
                kind=change.kind,
                severity=change.severity,
                says=change.says,
                action=change.action,
                since=min(opened.since, change.since) if opened is not None else change.since,
                owner=owner,
                acknowledged=opened is not None and opened.acknowledged,
            )
            still.add(alarm.id)
            if opened is None or (opened.kind, opened.severity) != (alarm.kind, alarm.severity):
                changed.append(alarm)
            self._alarms[alarm.id] = alarm
        for alarm in self.open(deployment):
            if alarm.id not in still and (inputs_known or alarm.kind == "mirror.silent"):
                ended = msgspec.structs.replace(alarm, ended=now)
                self._alarms[alarm.id] = ended
                changed.append(ended)
        self._unsaved |= {alarm.id for alarm in changed}
        self._alarms = {i: a for i, a in self._alarms.items() if a.ended is None or a.ended > now - _ENDED_KEPT_S}
        return tuple(changed)

    def end_all_but(self, deployments: Iterable[str], now: float) -> tuple[Alarm, ...]:
        """Ends the alarms of deployments that are not configured any more."""
        gone = {alarm.deployment for alarm in self.open()} - set(deployments)
        return tuple(alarm for name in sorted(gone) for alarm in self.update(name, "", (), now))

    def open(self, deployment: str | None = None) -> tuple[Alarm, ...]:
        """Alarms that have not ended."""
        return tuple(
            a for a in self._alarms.values() if a.ended is None and (deployment is None or a.deployment == deployment)
        )

    def broken(self, deployment: str) -> bool:
        """Whether the deployment's input is known to be broken now."""
        return any(alarm.kind == "data.broken" for alarm in self.open(deployment))

    def all(self) -> tuple[Alarm, ...]:
        """Open ones first, each group newest first."""
        return tuple(sorted(self._alarms.values(), key=lambda a: (a.ended is not None, -a.since)))

    def acknowledged(self, alarm: Alarm) -> Alarm:
        """A person has seen it; what it says now and whether it ended stay as they are here."""
        current = self._alarms.get(alarm.id, alarm)
        seen = msgspec.structs.replace(current, acknowledged=True)
        if alarm.id in self._alarms:
            self._alarms[alarm.id] = seen
            self._unsaved.add(alarm.id)
        return seen

    def unsaved(self) -> tuple[Alarm, ...]:
        """Alarms that changed since they were written, as they are now."""
        self._unsaved &= self._alarms.keys()
        return tuple(self._alarms[identity] for identity in sorted(self._unsaved))

    def saved(self, alarm: Alarm) -> None:
        """It was written like this; if it has changed meanwhile, it still has to be."""
        if self._alarms.get(alarm.id) is alarm:
            self._unsaved.discard(alarm.id)

    def _open(self, deployment: str, key: str) -> Alarm | None:
        prefix = _prefix(deployment, key)
        return next((a for a in self._alarms.values() if a.ended is None and a.id.startswith(prefix)), None)


def _prefix(deployment: str, key: str) -> str:
    return hashlib.sha256(f"{deployment}/{key}".encode("utf-8", "replace")).hexdigest()[:10] + "-"


def _new_id(deployment: str, key: str, now: float) -> str:
    return f"{_prefix(deployment, key)}{int(now * 1000):x}"
