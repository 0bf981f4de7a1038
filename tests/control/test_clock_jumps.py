"""R-F18 for what is decided and kept: the wall clock is set an hour forth and back, and nothing is lost or stuck."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.control.controller import Controller
from sidecar.control.decisions import Decisions
from sidecar.control.outbox import Outbox, Undelivered
from sidecar.control.store import Delivery, Store
from sidecar.decide.history import champion_at, champion_spans
from sidecar.decide.promotion import phase
from sidecar.reports import OutcomeCounts
from tests.control.controller_ground import World, promote, rollback
from tests.control.decision_samples import EARLY_S, WINDOW_S, row, truth
from tests.control.store_samples import NOW, opened, step

HOUR = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[Clock, World, Store, Controller]]:
    clock = Clock()
    async with opened(tmp_path) as store:
        around = World(tmp_path)
        controller = around.controller(store)
        controller._clock = clock
        await controller.start()
        yield clock, around, store, controller


Jumping = tuple[Clock, World, Store, Controller]


async def test_verbs_go_on_and_the_trail_stays_whole_however_the_clock_is_set(world: Jumping) -> None:
    clock, around, store, controller = world
    clock.now = NOW + HOUR
    first = await promote(controller, idempotency_key="k")
    assert phase(controller.states["fraud"], clock.now + 1) == "watching"
    clock.now = NOW + 60
    assert await promote(controller, idempotency_key="k") == first
    await rollback(controller)
    assert around.published[-1]["fraud"] == "3"
    assert phase(controller.states["fraud"], clock.now) == "steady"
    assert (await store.verify()).ok

    spans = champion_spans(await store.transitions_of("fraud"), "fraud")
    told = {at: getattr(champion_at(spans, NOW + at), "version", None) for at in (-1, 0, 59, 60, 120, 2 * HOUR)}
    assert told == {-1: None, 0: "3", 59: "3", 60: "3", 120: "3", 2 * HOUR: "3"}
    async with opened(around.folder / "another") as other:
        await step(other, 1, "1")
        assert (await other.verify()).ok


@pytest.mark.parametrize("whole_lines", [False, True])
async def test_what_waits_to_be_told_does_not_wait_for_the_clock_to_come_back(
    tmp_path: Path, whole_lines: bool
) -> None:
    clock, told = Clock(), list[Any]()
    away = True

    async def deliver(what: Any) -> None:
        if away:
            raise Undelivered("nobody is there")
        told.append(what)

    async with opened(tmp_path) as store:
        clock.now = NOW + HOUR
        await step(store, 1, "1", deliveries=[Delivery("registry.alias", "fraud", "{}")])
        handlers: dict[str, Any] = {"registry.alias": deliver}
        outbox = Outbox(store.database, {} if whole_lines else handlers, clock, handlers if whole_lines else None)
        assert await outbox.send_due() == 0
        away = False
        assert await outbox.send_due() == 0, "it is not due again yet"
        clock.now = NOW
        assert (await outbox.send_due(), len(told)) == (1, 1)


async def test_outcomes_are_judged_though_the_clock_was_set_back_or_forth(tmp_path: Path) -> None:
    decisions = await Decisions.open(tmp_path)
    decisions.record([row("a", at=NOW + HOUR), row("b", at=NOW)])
    counts, _ = await decisions.post([truth("a", at=NOW)], NOW, EARLY_S, WINDOW_S)
    assert counts == OutcomeCounts(matched=1)
    counts, _ = await decisions.post([truth("early", at=NOW)], NOW + HOUR, EARLY_S, WINDOW_S)
    assert counts == OutcomeCounts(pending=1)
    assert await decisions.expire(NOW) == OutcomeCounts(), "what is young stays"
    decisions.record([row("early", at=NOW)])
    await decisions.flush()
    assert [one.request_id for one in decisions.take_joined()] == ["a", "early"]
    await decisions.close()
