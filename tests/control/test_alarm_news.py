from __future__ import annotations

import pytest

from sidecar.control.alarm_book import AlarmBook
from sidecar.control.alarm_news import AlarmNews
from sidecar.control.announcer import Announcer
from sidecar.reports import AlarmChange, AlarmKind
from sidecar.standing import Event
from tests.control.test_alarm_book import NOW, change

DEGRADED = change("outcome/3", kind="outcome.degraded", severity="critical")


class World:
    def __init__(self) -> None:
        self.book = AlarmBook(())
        self.events: list[Event] = []
        announcer = Announcer()
        announcer.announce = self.events.append  # type: ignore[method-assign,assignment]
        self.news = AlarmNews(announcer)

    def look(self, *holding: AlarmChange, at: float = NOW) -> list[str]:
        """Types of the events that this look brought."""
        before = len(self.events)
        self.news.tell(self.book.update("fraud", "risk", holding, at), at)
        return [event.type for event in self.events[before:]]


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("data.broken", "sidecar.data.broken"),
        ("drift.detected", "sidecar.drift.detected"),
        ("prediction.shifted", "sidecar.prediction.shifted"),
        ("mirror.silent", "sidecar.challenger.unhealthy"),
    ],
)
def test_each_kind_of_alarm_is_an_event_once(kind: AlarmKind, event: str) -> None:
    world = World()
    assert world.look(change(kind=kind)) == [event]
    assert world.look(change(kind=kind), at=NOW + 1) == []
    assert world.look(at=NOW + 2) == [], "an end is no event"


def test_an_event_names_its_alarm_and_has_the_same_id_when_it_is_told_again() -> None:
    world = World()
    world.look(change())
    (alarm,) = world.book.open()
    world.news.tell([alarm], NOW + 5)
    first, again = world.events
    assert first.id == again.id == f"{alarm.id}-{alarm.kind}-{alarm.severity}"
    assert first.data["alarm"] == alarm.id


def test_one_story_is_one_event() -> None:
    broken = change(kind="data.broken", severity="critical")
    shifted = change("prediction", kind="prediction.shifted", severity="info", explained_by="feature/amount")
    degraded = change("outcome/3", kind="outcome.degraded", severity="info", explained_by="feature/amount")
    assert World().look(broken, shifted, degraded) == ["sidecar.data.broken"]
