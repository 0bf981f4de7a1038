from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.control.alarm_book import AlarmBook
from sidecar.control.alarm_news import RETRAIN, AlarmNews
from sidecar.control.announcer import Announcer
from sidecar.reports import AlarmChange, AlarmKind
from sidecar.standing import Acknowledgement, Event
from tests.control.test_alarm_book import NOW, change

DEGRADED = change("outcome/3", kind="outcome.degraded", severity="critical")


class World:
    def __init__(self) -> None:
        self.book = AlarmBook(())
        self.events: list[Event] = []
        announcer = Announcer()
        announcer.announce = self.events.append  # type: ignore[method-assign,assignment]
        self.news = AlarmNews(self.book, announcer)

    def look(self, *holding: AlarmChange, at: float = NOW) -> list[str]:
        """Types of the events that this look brought."""
        before = len(self.events)
        self.news.tell(self.book.update("fraud", "risk", holding, at), at)
        self.news.recommend("fraud", at)
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


def test_one_story_is_one_event() -> None:
    broken = change(kind="data.broken", severity="critical")
    shifted = change("prediction", kind="prediction.shifted", severity="info", explained_by="feature/amount")
    degraded = change("outcome/3", kind="outcome.degraded", severity="info", explained_by="feature/amount")
    assert World().look(broken, shifted, degraded) == ["sidecar.data.broken"]


def test_retraining_is_recommended_once_where_outcomes_are_worse_and_no_feed_is_broken() -> None:
    world = World()
    assert world.look(DEGRADED) == ["sidecar.outcome.degraded", RETRAIN]
    assert world.look(DEGRADED, at=NOW + 1) == []


@pytest.mark.parametrize("block", [{"kind": "data.broken"}, {"cause": "new_category"}], ids=["broken", "category"])
def test_nothing_recommends_retraining_until_a_broken_feed_is_acknowledged(block: dict[str, Any]) -> None:
    world, blocking = World(), change(**block)
    assert RETRAIN not in world.look(DEGRADED, blocking)
    alarm = next(alarm for alarm in world.book.open() if alarm.kind != "outcome.degraded")
    seen = Acknowledgement(by="alice", at=NOW, reason="known")
    world.book.acknowledged(msgspec.structs.replace(alarm, acknowledgement=seen))
    assert world.look(DEGRADED, blocking, at=NOW + 1) == [RETRAIN]


def test_drift_alone_recommends_nothing() -> None:
    assert World().look(change(cause="unexplained"), change("prediction", kind="prediction.shifted")) == [
        "sidecar.drift.detected",
        "sidecar.prediction.shifted",
    ]
