"""The file of decisions: buffered, reopened, read page by page, cleared, damaged, and full."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from sidecar.control import decision_pages
from sidecar.control import decisions as module
from sidecar.control.database import StoreError
from sidecar.control.decision_expiry import used_bytes
from sidecar.control.decision_queries import settle_all
from sidecar.control.decision_row import Joined
from sidecar.control.decisions import MOST_BUFFERED_ROWS, Decisions
from sidecar.errors import Unavailable, Unknown
from sidecar.reports import OutcomeCounts
from tests.control.decision_samples import post, row, truth


@pytest.fixture
async def decisions(tmp_path: Path) -> AsyncIterator[Decisions]:
    opened = await Decisions.open(tmp_path, keep_s=2000.0)
    yield opened
    await opened.close()


async def test_rows_beyond_the_buffer_are_dropped_whole_and_counted(decisions: Decisions) -> None:
    decisions.record([row(place=place) for place in range(MOST_BUFFERED_ROWS - 1)])
    decisions.record([row("s"), row("s", 1)])
    decisions.record([row("x" * 257)])
    assert (decisions.buffered, decisions.dropped) == (MOST_BUFFERED_ROWS - 1, 3)
    decisions._buffer.clear()


async def test_the_writing_task_writes_without_being_asked(decisions: Decisions) -> None:
    decisions.record([row(f"r{place}") for place in range(600)])
    async with asyncio.timeout(30):
        while decisions.buffered:
            await asyncio.sleep(0.01)
    assert decisions.fault is None


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    first = await Decisions.open(tmp_path)
    first.record([row("a"), row("b")])
    await first.decision("a")
    first.record([row("c")])
    await post(first, truth("a"), truth("early"))
    first.record([row("d")])
    await first.close()
    second = await Decisions.open(tmp_path)
    assert (await second.decision("d")).version == "3"  # what was buffered is written at the end
    counts, _ = await post(second, truth("a"), truth("b"), truth("c"), truth("early"))
    assert counts == OutcomeCounts(duplicate=2, matched=2)
    assert [one.request_id for one in second.take_joined()] == ["b", "c"]
    second.record([row("early")])
    await second.flush()
    assert [one.request_id for one in second.take_joined()] == ["early"]
    assert [one.request_id async for one in second.matched()] == ["a", "b", "c", "early"]
    assert [(one.seq, one.request_id) async for one in second.joined_after(1)] == [(2, "b"), (3, "c"), (4, "early")]
    await second.forget_joined(4)
    assert [one.seq async for one in second.joined_after(0)] == [4]
    await second.close()


async def test_every_judged_outcome_can_be_read_again_page_by_page(
    decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_pages, "PAGE_ROWS", 3)
    for request_id in ("a", "b", "c"):
        decisions.record([row(request_id, place) for place in range(4)])
    posted = [truth(request_id, row=place) for request_id in ("a", "b", "c") for place in range(4)]
    random.Random(1).shuffle(posted)
    counts, joined = await post(decisions, *posted)
    assert counts == OutcomeCounts(matched=12)
    again = [one async for one in decisions.matched()]
    numbered = {(one.request_id, one.row): one.seq for one in joined}
    assert sorted(numbered.values()) == list(range(1, 13))
    told = [msgspec.structs.replace(one, seq=numbered[one.request_id, one.row]) for one in again]
    assert told == sorted(joined, key=lambda one: (one.request_id, one.row))


async def test_old_decisions_and_outcomes_are_deleted(decisions: Decisions) -> None:
    decisions.record([row("old", at=1000.0), row("new", at=3000.0)])
    await post(decisions, truth("old"), now=1100.0)
    await decisions.expire(3001.0)
    with pytest.raises(Unknown):
        await decisions.decision("old")
    assert (await decisions.decision("new")).version == "3"
    assert [c.decided for c in await decisions.coverage("fraud")] == [1]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    path.write_bytes(b"not a database, but long enough to be read as one " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"decisions\.db is damaged .* restore it"):
        await Decisions.open(tmp_path)
    assert path.read_bytes() == before


async def test_a_flipped_page_is_refused(tmp_path: Path) -> None:
    first = await Decisions.open(tmp_path)
    first.record([row(f"r{place}") for place in range(2000)])
    await first.close()
    path = tmp_path / "decisions.db"
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 9] = b"\xff" * 4096 * 4
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"decisions\.db"):
        await Decisions.open(tmp_path)


async def test_a_file_that_cannot_be_written_loses_nothing_and_says_so(decisions: Decisions) -> None:
    await decisions._database.change(text("ALTER TABLE decision RENAME TO away"))
    decisions.record([row()])
    with pytest.raises(Unavailable, match=r"decisions\.db"):
        await post(decisions, truth())
    assert decisions.buffered == 1
    decisions.record([row(f"r{place}") for place in range(600)])
    async with asyncio.timeout(30):
        while decisions.fault is None:
            await asyncio.sleep(0.01)
    await decisions._database.change(text("ALTER TABLE away RENAME TO decision"))
    counts, _ = await post(decisions, truth())
    assert counts == OutcomeCounts(matched=1)


async def test_joins_of_a_post_that_fails_half_way_are_handed_out_later(
    decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 2)
    calls: list[int] = []

    def fails_second(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Unavailable("the disk is full")
        return settle_all(*arguments, **named)

    monkeypatch.setattr(module, "settle_all", fails_second)
    decisions.record([row(f"r{place}") for place in range(4)])
    posted = [truth(f"r{place}") for place in range(4)]
    with pytest.raises(Unavailable):
        await post(decisions, *posted)
    assert [one.request_id for one in decisions.take_joined()] == ["r0", "r1"]
    counts, joined = await post(decisions, *posted)
    assert counts == OutcomeCounts(duplicate=2, matched=2)
    assert [(one.request_id, one.seq) for one in joined] == [("r2", 3), ("r3", 4)]


async def test_outcomes_for_scattered_rows_of_many_batches_find_their_own_row(decisions: Decisions) -> None:
    for place in range(40):
        decisions.record([row(f"r{place}", number) for number in range(40)])
    scattered = [truth(f"r{place}", row=(place * 7) % 50) for place in range(40)]
    counts, joined = await post(decisions, *scattered)
    found = {(one.request_id, one.row) for one in scattered if one.row < 40}
    assert {(one.request_id, one.row) for one in joined} == found
    assert counts == OutcomeCounts(matched=len(found), pending=40 - len(found))


async def test_rows_written_twice_are_kept_once(decisions: Decisions) -> None:
    decisions.record([row(), row(place=1)])
    await decisions.flush()
    decisions.record([row(place=1), row(place=2)])
    assert (await decisions.decision("r")).prediction == (0.9, 0.9, 0.9)


async def test_posts_and_records_at_once_lose_nothing(decisions: Decisions) -> None:
    async def one(place: int) -> tuple[OutcomeCounts, list[Joined]]:
        if place % 2:
            decisions.record([row(f"r{place}")])
            return await post(decisions, truth(f"r{place}"))
        answer = await post(decisions, truth(f"r{place}"))
        decisions.record([row(f"r{place}")])
        return answer

    answers = await asyncio.gather(*[one(place) for place in range(60)])
    await decisions.flush()
    taken = decisions.take_joined()
    assert sorted(one.request_id for one in taken) == sorted(f"r{place}" for place in range(60))
    assert [one.seq for one in taken] == list(range(1, 61))
    assert sum(counts.matched for counts, _ in answers) == 30


async def test_a_file_that_is_too_large_loses_its_oldest_decisions_with_their_outcomes(tmp_path: Path) -> None:
    decisions = await Decisions.open(tmp_path, most_bytes=2_000_000)
    rows = [row(f"r{place:05}", at=1000.0 + place / 100) for place in range(30_000)]
    for begin in range(0, len(rows), 10_000):
        decisions.record(rows[begin : begin + 10_000])
        await decisions.flush()
    await post(decisions, *[truth(f"r{place:05}") for place in range(0, 30_000, 100)])
    await decisions.expire(1400.0)
    assert await decisions.database.transact(used_bytes) <= 2_000_000
    (kept,) = await decisions.coverage("fraud")
    assert (kept.decided, decisions.expired_beyond_bytes) == (
        30_000 - decisions.expired_beyond_bytes,
        30_000 - kept.decided,
    )
    assert 5_000 < kept.decided < 25_000
    with pytest.raises(Unknown):
        await decisions.decision("r00000")
    assert (await decisions.decision("r29999")).version == "3"
    assert kept.matched == sum(place % 100 == 0 for place in range(30_000 - kept.decided, 30_000))
    again = await post(decisions, truth("r00100"), truth("r29900"))
    assert again[0] == OutcomeCounts(pending=1, duplicate=1)
    await decisions.expire(1400.0)
    assert kept == (await decisions.coverage("fraud"))[0]
    await decisions.close()


async def test_nothing_is_written_while_the_disk_is_for_others(tmp_path: Path) -> None:
    full = True
    decisions = await Decisions.open(tmp_path, held_back=lambda: full)
    decisions.record([row()])
    with pytest.raises(Unavailable, match="is full"):
        await post(decisions, truth())
    full = False
    assert (await post(decisions, truth()))[0] == OutcomeCounts(matched=1)
    await decisions.close()
