"""Rollbacks that the store cannot take: held in their order, noted, and written before anything newer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.canary import CanaryStep
from sidecar.control.recording import Recording
from sidecar.control.reserve import Reserve
from sidecar.control.store import Receipt, Store
from sidecar.control.unrecorded import Transit, Unrecorded
from sidecar.errors import Refused, Unavailable
from sidecar.standing import Canary, Target, Transition
from tests.control.store_samples import NOW, deed, opened, state, step


def transit(generation: int, champion: str, key: str | None = None) -> Transit:
    moved = Transition(
        deployment="fraud", from_version="1", to_version=champion, generation=generation, audit_seq=None, evidence=None
    )
    return Transit(
        state=state(generation, champion),
        expected_generation=generation - 1,
        deed=deed(champion, action="rollback"),
        receipt=None if key is None else Receipt(key, "request", moved),
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path / "state") as store:
        await step(store, 1, "1")
        yield store


def away(monkeypatch: pytest.MonkeyPatch, store: Store, while_true: Callable[[], bool] = lambda: True) -> None:
    inner = store.transition

    async def transition(*given: Any, **named: Any) -> Any:
        if while_true():
            raise Unavailable("the disk is full")
        return await inner(*given, **named)

    monkeypatch.setattr(store, "transition", transition)


async def test_a_transition_is_written_straight(store: Store) -> None:
    recording = Recording(store, lambda: NOW)
    assert await recording.write(transit(2, "2")) == 2
    assert await recording.write_or_hold(transit(3, "3")) == 3
    assert (len(recording.unrecorded), recording.unrecorded.says("fraud")) == (0, None)


async def test_the_reserve_is_spent_before_anything_is_held(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = Reserve(tmp_path, 1 << 20)
    recording = Recording(store, lambda: NOW, reserve)
    await recording.replenish()
    away(monkeypatch, store, lambda: reserve.held_bytes > 0)
    assert not recording.held_back()
    assert await recording.write_or_hold(transit(2, "2")) == 2
    assert recording.held_back()
    await recording.replenish()
    assert (reserve.whole, recording.held_back()) == (True, False)


async def test_a_rollback_that_comes_while_the_reserve_is_taken_up_gets_it(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve, go_on = Reserve(tmp_path, 1 << 20), threading.Event()
    recording = Recording(store, lambda: NOW, reserve)
    refill = reserve.refill

    def slow() -> None:
        go_on.wait(60)
        refill()

    monkeypatch.setattr(reserve, "refill", slow)
    # The disk takes the transition once the reserve was given back, and it was not taken up before.
    away(monkeypatch, store, lambda: reserve.held_bytes > 0 or not reserve.spent)
    taking = asyncio.create_task(recording.replenish())
    await asyncio.sleep(0)
    rolling_back = asyncio.create_task(recording.write_or_hold(transit(2, "2")))
    await asyncio.sleep(0.05)
    assert not rolling_back.done()
    go_on.set()
    await taking
    assert (await rolling_back, reserve.spent) == (2, True)


async def test_what_cannot_be_written_is_held_and_written_in_its_order_later(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(store, lambda: NOW + 60, Reserve(tmp_path, 1 << 20), Unrecorded(tmp_path / "note"))
    with monkeypatch.context() as patched:
        away(patched, store)
        assert await recording.write_or_hold(transit(2, "2", "one")) is None
        assert await recording.write_or_hold(transit(3, "1", "two")) is None
        with pytest.raises(Unavailable, match=r"version 1 serves by a rollback .*the disk is full"):
            await recording.catch_up("fraud")
        with pytest.raises(Unavailable):
            await recording.write(transit(4, "4"))
    assert (len(recording.unrecorded), recording.unrecorded.names) == (2, ("fraud",))
    receipt = recording.unrecorded.receipt("two")
    assert receipt is not None
    assert receipt.transition.to_version == "1"
    assert recording.unrecorded.receipt("three") is None

    assert await recording.write(transit(4, "4")) == 4
    assert (len(recording.unrecorded), (tmp_path / "note").exists()) == (0, False)
    entries = await store.audit_entries(1, 10)
    assert [(entry.at, entry.to_version) for entry in entries] == [(NOW, "2"), (NOW, "1"), (NOW, "4")]
    assert [json.loads(entry.details).get("recorded_at") for entry in entries] == [NOW + 60, NOW + 60, None]
    assert (await store.verify()).ok
    assert await store.receipt("one") is not None


async def test_a_refusal_is_no_reason_to_hold(store: Store) -> None:
    recording = Recording(store, lambda: NOW)
    with pytest.raises(Refused):
        await recording.write_or_hold(transit(7, "2"))
    assert len(recording.unrecorded) == 0


async def test_a_commit_that_was_called_failed_and_is_there_counts_as_recorded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(store, lambda: NOW)
    with monkeypatch.context() as patched:
        away(patched, store)
        await recording.write_or_hold(transit(2, "2"))
    await store.transition(state(2, "2"), expected_generation=1, deed=deed("2"))
    await recording.catch_up("fraud")
    assert len(recording.unrecorded) == 0
    with monkeypatch.context() as patched:
        away(patched, store)
        await recording.write_or_hold(transit(3, "3"))
    await store.transition(state(3, "9"), expected_generation=2, deed=deed("9"))
    with pytest.raises(Refused):
        await recording.catch_up("fraud")


CANARY = Canary(
    version="2", target=Target("http://127.0.0.1:8020"), steps=(CanaryStep(0.1, 0.0, 1),), since=NOW, step_since=NOW,
    salt="s",
)  # fmt: skip
WITH_CANARY = msgspec.structs.replace(state(1, "1"), canary=CANARY)
ENDED = Transit(
    state=state(1, "1"), expected_generation=1, deed=deed("1", action="canary_stop", from_version="2")
)  # fmt: skip


async def test_the_end_of_a_canary_that_is_on_disk_is_not_written_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts no generation, so that the generation alone would not tell."""
    await store.transition(WITH_CANARY, expected_generation=1, deed=deed("2", action="canary_start"))
    recording = Recording(store, lambda: NOW)
    written, calls = store.transition, list[int]()

    async def committed_and_called_failed(*given: Any, **named: Any) -> Any:
        calls.append(1)
        done = await written(*given, **named)
        if len(calls) == 1:
            raise Unavailable("the disk went away")
        return done

    monkeypatch.setattr(store, "transition", committed_and_called_failed)
    assert await recording.write_or_hold(ENDED) is None
    assert len(recording.unrecorded) == 1
    await recording.catch_up("fraud")
    assert len(recording.unrecorded) == 0
    # A caller whose process still takes it for a canary ends it as well, and is told so.
    assert await recording.write_or_hold(ENDED) == 3
    actions = [entry.action for entry in await store.audit_entries(0, 10)]
    assert actions == ["promote", "canary_start", "canary_stop"]


def test_a_note_of_the_end_of_a_canary_is_taken_up_where_there_is_one(tmp_path: Path) -> None:
    note = tmp_path / "note"
    Unrecorded(note).hold(ENDED)
    content = note.read_bytes()
    assert Unrecorded(note).take_up({"fraud": WITH_CANARY}) == {"fraud": state(1, "1")}
    # It was recorded before control died, or another version is the canary by now.
    for stored in (
        state(1, "1"),
        msgspec.structs.replace(WITH_CANARY, canary=msgspec.structs.replace(CANARY, version="9")),
    ):
        note.write_bytes(content)
        assert Unrecorded(note).take_up({"fraud": stored}) == {}


async def test_a_note_is_taken_up_where_it_follows_from_what_is_stored(tmp_path: Path) -> None:
    note = tmp_path / "note"
    before = Unrecorded(note)
    for held in (transit(2, "2", "one"), transit(3, "1")):
        before.hold(held)
    after = Unrecorded(note)
    assert after.take_up({"fraud": state(1, "1")}) == {"fraud": state(3, "1")}
    assert after.of("fraud") == before.of("fraud")
    # The first of the two was recorded before control died.
    later = Unrecorded(note)
    assert later.take_up({"fraud": state(2, "2")}) == {"fraud": state(3, "1")}
    assert later.of("fraud") == (transit(3, "1"),)
    # Somebody has decided since.
    assert Unrecorded(note).take_up({"fraud": state(5, "4")}) == {}
    assert not note.exists()
    assert Unrecorded(note).take_up({"fraud": state(1, "1")}) == {}


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x91\xc0"])
def test_a_note_that_cannot_be_read_is_told_and_left(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    note = tmp_path / "note"
    note.write_bytes(content)
    assert Unrecorded(note).take_up({"fraud": state(1, "1")}) == {}
    assert "cannot be read" in caplog.text


def test_a_note_that_cannot_be_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unrecorded = Unrecorded(tmp_path / "nowhere" / "note")
    unrecorded.hold(transit(2, "2"))
    assert "a restart would forget a rollback" in caplog.text
    assert len(unrecorded) == 1
