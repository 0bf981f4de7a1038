from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.control import rounds as pacing
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.carryover import Carryover
from sidecar.control.decisions import Decisions
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.rounds import Rounds
from sidecar.control.watch import DeploymentWatch
from sidecar.errors import Unavailable
from sidecar.reports import GateTable, Verdict
from sidecar.standing import Alarm, Event
from tests.control.live_samples import NOW, baseline, deployment, exchange, shadow_counts, state
from tests.control.store_samples import opened


class World:
    """Rounds with everything around them; `at` is the clock."""

    def __init__(self, carryover: Carryover, decisions: Decisions) -> None:
        self.at = NOW
        self.verdict: Verdict = "insufficient"
        self.failures: list[Exception] = []
        self.tables_kept = 0
        self.watches = {"fraud": DeploymentWatch(deployment(), state(), baseline(), NOW)}
        self.alarms = AlarmBook(())
        self.events: list[Event] = []
        self.deployments = {"fraud": deployment()}
        announcer = Announcer()
        announcer.announce = self.events.append  # type: ignore[method-assign,assignment]
        self.rounds = Rounds(
            deployments=lambda: self.deployments,
            watches=self.watches,
            gate_table=self.gate_table,
            alarms=self.alarms,
            announcer=announcer,
            carryover=carryover,
            decisions=decisions,
            registry=RegistrySync(None),
            keep_table=self.keep_table,
            attempt=self.attempt,
            clock=lambda: self.at,
        )

    async def keep_table(self) -> None:
        self.tables_kept += 1

    def gate_table(self, name: str, challenger: str) -> GateTable:
        fields: dict[str, Any] = {"verdict": self.verdict, "evidence": "sha256:e", "gates": ()}
        return GateTable(deployment=name, champion="3", challenger=challenger, **fields)

    def attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ArithmeticError as error:
            self.failures.append(error)

    async def seconds(self, numbers: range, *, euros: bool = False) -> None:
        for number in numbers:
            self.watches["fraud"].fold(exchange(number, rows=100, at=NOW + number, euros=euros))
            self.at = NOW + number + 1
            await self.rounds.round()


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    async with opened(tmp_path) as store:
        decisions = await Decisions.open(tmp_path)
        yield World(store.carryover, decisions)
        await decisions.close()


async def test_an_alarm_is_opened_announced_stored_and_voids_evidence(world: World) -> None:
    await world.seconds(range(4), euros=True)
    assert world.watches["fraud"].void
    broken = [event for event in world.events if event.type == "sidecar.data.broken"]
    assert len(broken) == 1, "once, not each second"
    stored = await world.rounds._carryover.alarms(ended_after=0.0)
    assert {alarm.id for alarm in stored} == {alarm.id for alarm in world.alarms.open()}


@pytest.mark.parametrize("watch", ["truths", "working"])
async def test_a_watch_that_cannot_go_on_does_not_silence_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, watch: str
) -> None:
    def stuck(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(getattr(world.watches["fraud"], watch), "look", stuck)
    await world.seconds(range(4), euros=True)
    assert world.alarms.broken_since("fraud") is not None
    assert len(world.failures) == 4, "and each time it is counted"


async def test_alarms_that_could_not_be_written_are_written_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_self: Carryover, _alarm: Alarm) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Carryover, "save_alarm", full)
        with pytest.raises(Unavailable):
            await world.seconds(range(4), euros=True)
    assert await world.rounds._carryover.alarms(ended_after=0.0) == ()
    await world.rounds.round()
    assert await world.rounds._carryover.alarms(ended_after=0.0)


async def test_a_challenger_that_passes_is_announced_once_a_generation(world: World) -> None:
    def ready() -> int:
        return [event.type for event in world.events].count("sidecar.promotion.ready")

    world.verdict = "pass"
    await world.rounds.round()
    await world.rounds.round()
    assert ready() == 1
    world.verdict = "fail"
    await world.rounds.round()
    world.verdict = "pass"
    await world.rounds.round()
    assert ready() == 2


async def test_a_silent_mirror_is_announced(world: World) -> None:
    for second in range(62):
        counts = shadow_counts(0, dropped={"connect_error": second})
        world.watches["fraud"].fold_counts("w0", counts, NOW + second)
    world.at = NOW + 62
    await world.rounds.round()
    (event,) = world.events
    assert event.type == "sidecar.challenger.unhealthy"
    assert "no copy reached version 4" in event.says


async def test_one_deployment_that_cannot_be_looked_at_does_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.watches["other"] = DeploymentWatch(deployment("other"), state(), None, NOW)

    def gate_table(name: str, challenger: str) -> GateTable:
        if name == "fraud":
            raise ZeroDivisionError
        return World.gate_table(world, name, challenger)

    monkeypatch.setattr(world.rounds, "_gate_table", gate_table)
    world.verdict = "pass"
    await world.rounds.round()
    assert (len(world.failures), [event.deployment for event in world.events]) == (1, ["other"])


async def test_alarms_of_a_deployment_that_was_removed_end(world: World) -> None:
    await world.seconds(range(4), euros=True)
    assert world.alarms.open("fraud")
    del world.watches["fraud"], world.deployments["fraud"]
    await world.rounds.round()
    assert world.alarms.open() == ()


async def test_snapshots_are_written(world: World) -> None:
    world.watches["fraud"].fold(exchange(1))
    await world.rounds.save()
    assert set(await world.rounds._carryover.snapshots("fraud")) == {
        "memory",
        "drift",
        "truths",
        "working",
        "comparison/4",
        "predicted",
        "label_queues",
    }


async def test_a_deployment_without_a_watch_is_not_asked_for(world: World) -> None:
    world.deployments["fresh"] = deployment("fresh")
    await world.rounds.ask_registry()
    assert set(world.watches) == {"fraud"}


async def test_each_kind_of_round_has_its_pace_and_one_that_fails_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROUND_S", "SNAPSHOT_S", "TABLE_S", "REGISTRY_S", "EXPIRY_S"):
        monkeypatch.setattr(pacing, name, 0.001)
    calls: dict[str, int] = dict.fromkeys(("round", "save", "ask_registry", "expire"), 0)
    done = asyncio.Event()

    def step(name: str) -> Callable[..., Any]:
        async def called(*_: object) -> None:
            calls[name] += 1
            if name == "ask_registry":
                await asyncio.Event().wait()  # a registry that never answers
            if min(calls["round"], calls["save"], calls["expire"], world.tables_kept) > 2:
                done.set()
            if name == "save":
                raise Unavailable("the disk is full")

        return called

    for name in ("round", "save", "ask_registry"):
        monkeypatch.setattr(world.rounds, name, step(name))
    monkeypatch.setattr(Decisions, "expire", step("expire"))
    running = asyncio.create_task(world.rounds.run())
    async with asyncio.timeout(30):
        await done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert calls["ask_registry"] == 1


@pytest.mark.parametrize("asker", ["rescoring", "noise_floor"])
async def test_asking_the_champion_about_a_callers_rows_may_fail_and_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, asker: str
) -> None:
    class Asker:
        def __init__(self) -> None:
            self.times, self.enough = 0, asyncio.Event()

        async def round(self) -> None:
            self.times += 1
            if self.times > 2:
                self.enough.set()
                await asyncio.Event().wait()  # the champion never answers
            raise ZeroDivisionError

    asked = Asker()
    monkeypatch.setattr(world.rounds, f"_{asker}", asked)
    for pace in ("RESCORING_S", "NOISE_FLOOR_S"):
        monkeypatch.setattr(pacing, pace, 0.001)
    running = asyncio.create_task(world.rounds.run())
    async with asyncio.timeout(30):
        await asyncio.wait([running, asyncio.ensure_future(asked.enough.wait())], return_when="FIRST_COMPLETED")
    assert not running.done()
    assert len(world.failures) == 2, "counted each time"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
