"""The open alarms of all deployments: one id from an alarm's beginning to its end, whatever its kind becomes.

Keeps: an alarm that began as `drift.detected` and whose cause is found becomes `data.broken` under the same id, and
never goes back; its beginning and an acknowledgement stay; what it says is as fresh as the last look. No flapping: one
that comes back soon is the same one, and its severity falls only after a while. What changed is `unsaved` until it was
written, so that a disk that was full for a while loses nothing.
Does not: decide what is an alarm (`observe` does), or write. Called by the rounds and the desk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from sidecar.reports import AlarmChange, Severity
from sidecar.standing import Alarm

_ENDED_KEPT_S = 86_400.0
SAME_WITHIN_S = 1_800.0  # an alarm that comes back within this time is the one that it was
CALMER_AFTER_S = 600.0  # so long must a lower severity hold until it counts
_ORDER: tuple[Severity, ...] = ("none", "info", "warning", "critical")


class AlarmBook:
    """Open alarms by deployment and key, and those that ended within the last day."""

    def __init__(self, stored: Iterable[Alarm]) -> None:
        self._alarms = {alarm.id: alarm for alarm in stored}
        self._unsaved: set[str] = set()
        # Since when an open alarm would be less grave.
        self._calmer: dict[str, float] = {}

    def update(
        self, deployment: str, owner: str, holding: Iterable[AlarmChange], now: float, *, inputs_known: bool = True
    ) -> tuple[Alarm, ...]:
        """Makes the book agree with what holds now; returns what is news: alarms that began, became another kind or
        graver, or ended.

        Without `inputs_known` nobody can say that an alarm about inputs or predictions is over: it stays.
        """
        news: list[Alarm] = []
        standing = {change.key: change for change in holding}
        before = {key: self._latest(deployment, key, now) for key in standing}
        ids = {key: was.id if was is not None else _new_id(deployment, key, now) for key, was in before.items()}
        for key, change in standing.items():
            was = before[key]
            if was is not None and was.ended is None and _says_less(was, change):
                # A new watch has too few rows to name the cause again. What was known stays known until the end.
                continue
            alarm = self._alarm(ids, was, change, deployment, owner, now)
            if was is None or was.kind != alarm.kind or _graver(alarm, was):
                news.append(alarm)
            if was is None or _differs(was, alarm):
                self._unsaved.add(alarm.id)
            self._alarms[alarm.id] = alarm
        for alarm in self.open(deployment):
            if alarm.id not in ids.values() and (inputs_known or alarm.kind == "mirror.silent"):
                ended = msgspec.structs.replace(alarm, ended=now)
                self._alarms[alarm.id] = ended
                self._unsaved.add(alarm.id)
                news.append(ended)
        self._alarms = {i: a for i, a in self._alarms.items() if a.ended is None or a.ended > now - _ENDED_KEPT_S}
        self._calmer = {identity: at for identity, at in self._calmer.items() if identity in self._alarms}
        return tuple(news)

    def end_all_but(self, deployments: Iterable[str], now: float) -> tuple[Alarm, ...]:
        """Ends the alarms of deployments that are not configured any more."""
        gone = {alarm.deployment for alarm in self.open()} - set(deployments)
        return tuple(alarm for name in sorted(gone) for alarm in self.update(name, "", (), now))

    def open(self, deployment: str | None = None) -> tuple[Alarm, ...]:
        """Alarms that have not ended."""
        return tuple(
            a for a in self._alarms.values() if a.ended is None and (deployment is None or a.deployment == deployment)
        )

    def broken_since(self, deployment: str) -> float | None:
        """When what the deployment's input is known to be broken by began; None where it is whole."""
        return min((alarm.since for alarm in self.open(deployment) if alarm.kind == "data.broken"), default=None)

    def all(self) -> tuple[Alarm, ...]:
        """Open ones first, the gravest first; what another explains after it; then those that ended, newest first."""
        return tuple(sorted(self._alarms.values(), key=_place))

    def acknowledged(self, alarm: Alarm) -> Alarm:
        """A person has seen it; what it says now and whether it ended stay as they are here."""
        current = self._alarms.get(alarm.id, alarm)
        seen = msgspec.structs.replace(current, acknowledged=True, acknowledgement=alarm.acknowledgement)
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

    def _alarm(
        self, ids: Mapping[str, str], was: Alarm | None, change: AlarmChange, deployment: str, owner: str, now: float
    ) -> Alarm:
        """What holds now as an alarm, going on from what it was."""
        explained_by = ids.get(change.explained_by) if change.explained_by is not None else None
        severity = change.severity if was is None else self._severity(was, change.severity, now)
        if explained_by is None and was is not None and self._still_explains(was.explained_by, ids):
            # What explains it is known still, although a new watch cannot name its cause yet.
            explained_by, severity = was.explained_by, was.severity
        return Alarm(
            id=ids[change.key],
            deployment=deployment,
            kind=change.kind,
            severity=severity,
            says=change.says,
            action=change.action,
            since=change.since if was is None else min(was.since, change.since),
            owner=change.owner or owner,
            acknowledged=was is not None and was.acknowledged,
            explained_by=explained_by,
            cause=change.cause,
            acknowledgement=was.acknowledgement if was is not None else None,
        )

    def _still_explains(self, identity: str | None, ids: Mapping[str, str]) -> bool:
        known = self._alarms.get(identity) if identity is not None else None
        return known is not None and known.ended is None and known.kind == "data.broken" and known.id in ids.values()

    def _severity(self, was: Alarm, now_is: Severity, now: float) -> Severity:
        """Rises at once, falls once it has been lower for a while."""
        if _ORDER.index(now_is) >= _ORDER.index(was.severity):
            self._calmer.pop(was.id, None)
            return now_is
        if now - self._calmer.setdefault(was.id, now) < CALMER_AFTER_S:
            return was.severity
        del self._calmer[was.id]
        return now_is

    def _latest(self, deployment: str, key: str, now: float) -> Alarm | None:
        """The open alarm of this key, else the one that ended a short while ago."""
        prefix = _prefix(deployment, key)
        mine = [alarm for alarm in self._alarms.values() if alarm.id.startswith(prefix)]
        still = next((alarm for alarm in mine if alarm.ended is None), None)
        ended = max((alarm for alarm in mine if alarm.ended is not None), key=lambda a: a.ended or 0.0, default=None)
        if still is not None or ended is None or ended.ended is None or now - ended.ended >= SAME_WITHIN_S:
            return still
        return ended


def _says_less(was: Alarm, change: AlarmChange) -> bool:
    return was.kind == "data.broken" and change.kind == "drift.detected"


def _graver(alarm: Alarm, was: Alarm) -> bool:
    return _ORDER.index(alarm.severity) > _ORDER.index(was.severity)


def _differs(was: Alarm, alarm: Alarm) -> bool:
    """Whether there is something to write; a sentence with newer figures is not."""
    fresh = msgspec.structs.replace(alarm, says=was.says, action=was.action)
    return fresh != was


def _place(alarm: Alarm) -> tuple[bool, int, bool, float]:
    severity = 0 if alarm.ended is not None else -_ORDER.index(alarm.severity)
    return alarm.ended is not None, severity, alarm.explained_by is not None, -alarm.since


def _prefix(deployment: str, key: str) -> str:
    return hashlib.sha256(f"{deployment}/{key}".encode("utf-8", "replace")).hexdigest()[:10] + "-"


def _new_id(deployment: str, key: str, now: float) -> str:
    return f"{_prefix(deployment, key)}{int(now * 1000):x}"
