"""Which alarms are told as events.

Keeps: one story is told once: an alarm that another explains is no event of its own.
Does not: open or close alarms (`alarm_book` does), send anything itself, or recommend retraining (`retraining` does).
Called by the rounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.control.announcer import Announcer
from sidecar.decide.told_event import event_of_alarm
from sidecar.standing import Alarm


class AlarmNews:
    """Tells what the book calls news."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def tell(self, news: Iterable[Alarm], now: float) -> None:
        """Alarms that began, became graver or another kind; ends are no events."""
        for alarm in news:
            if alarm.ended is None and alarm.explained_by is None:
                self._announcer.announce(event_of_alarm(alarm, now))
