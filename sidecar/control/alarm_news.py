"""Which alarms are told as events, and when retraining is recommended.

Keeps: one story is told once: an alarm that another explains is no event of its own. Nothing recommends retraining
while a broken feed, or categories that training never saw, stand unacknowledged.
Does not: open or close alarms (`alarm_book` does), or send anything itself. Called by the rounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.standing import Alarm, Event

_EVENT_OF = {
    "data.broken": "sidecar.data.broken",
    "drift.detected": "sidecar.drift.detected",
    "prediction.shifted": "sidecar.prediction.shifted",
    "outcome.degraded": "sidecar.outcome.degraded",
    "mirror.silent": "sidecar.challenger.unhealthy",
}
RETRAIN = "sidecar.retrain.recommended"


class AlarmNews:
    """Tells what the book calls news."""

    def __init__(self, alarms: AlarmBook, announcer: Announcer) -> None:
        self._alarms = alarms
        self._announcer = announcer
        self._recommended: set[str] = set()

    def tell(self, news: Iterable[Alarm], now: float) -> None:
        """Alarms that began, became graver or another kind; ends are no events."""
        for alarm in news:
            if alarm.ended is None and alarm.explained_by is None:
                self._announce(_EVENT_OF[alarm.kind], alarm.deployment, alarm.says, now)

    def recommend(self, deployment: str, now: float) -> None:
        """Once for each alarm on outcomes that nothing else explains."""
        alarms = self._alarms.open(deployment)
        due = {alarm.id for alarm in alarms if alarm.kind == "outcome.degraded" and alarm.explained_by is None}
        blocked = any(not alarm.acknowledged and _is_about_the_feed(alarm) for alarm in alarms)
        self._recommended &= {alarm.id for alarm in self._alarms.open()}
        for identity in sorted(due - self._recommended) if not blocked else ():
            self._recommended.add(identity)
            says = "outcomes are worse than they were, and no broken feed explains it: train on newer outcomes"
            self._announce(RETRAIN, deployment, says, now)

    def _announce(self, event_type: str, deployment: str, says: str, now: float) -> None:
        self._announcer.announce(Event(type=event_type, deployment=deployment, at=now, says=says))


def _is_about_the_feed(alarm: Alarm) -> bool:
    return alarm.kind == "data.broken" or alarm.cause == "new_category"
