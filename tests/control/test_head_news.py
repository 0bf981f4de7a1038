from __future__ import annotations

from pathlib import Path

from sidecar.control.announcer import Announcer
from sidecar.control.head_news import EVERY_S, HeadNews
from sidecar.standing import Event
from tests.control.store_samples import NOW, opened, step


async def test_the_head_is_told_once_a_day_where_the_trail_grew(tmp_path: Path) -> None:
    told: list[Event] = []
    announcer = Announcer(told.append)
    now = NOW
    async with opened(tmp_path) as store:
        news = HeadNews(store, announcer, lambda: now)
        news.look()
        assert told == [], "an empty trail is no news"
        await step(store, 1, "1")
        now += EVERY_S - 1
        news.look()
        assert told == [], "not yet"
        now += 1
        for _ in range(3):
            news.look()
        now += EVERY_S
        news.look()
        assert [event.data["seq"] for event in told] == [1], "it did not grow"
        await step(store, 2, "2")
        now += EVERY_S
        news.look()
        (entry,) = await store.audit_entries(1, 1)
    assert [event.data["hash"] for event in told][-1] == entry.hash
    assert len({event.id for event in told}) == 2


async def test_after_a_restart_the_same_head_has_the_same_id(tmp_path: Path) -> None:
    told: list[Event] = []
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        for _ in range(2):
            HeadNews(store, Announcer(told.append), lambda: NOW).look()
    assert told[0].id == told[1].id
