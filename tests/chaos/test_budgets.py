"""What each challenger is given of its own: breaker, ceiling, budget in bytes, key of its fraction, header lines.

M8, M9, M15, R-F04. One sidecar; nothing that a challenger is refused is anything to another, or to a caller.
"""

from __future__ import annotations

import asyncio
import json
from time import monotonic
from typing import Any
from zlib import crc32

import pytest

from sidecar.decide.breaker import SLOW_START
from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Visit, visit
from tests.chaos.ground import MIB, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Connection, Stage
from tests.process.whole_sidecar import Callers, ask_once, until

BREAKER = {"failures": 3, "open_s": 0.3, "max_open_s": 1.2}
RAMP_S = 20.0
PER_S = 50.0


class Herd:
    """A challenger that takes its time, and notes how many copies were under way when each came."""

    def __init__(self) -> None:
        self.at_once: list[int] = []
        self._now = 0

    async def __call__(self, connection: Connection) -> None:
        while True:
            await connection.request()
            self._now += 1
            self.at_once.append(self._now)
            await asyncio.sleep(0.02)
            self._now -= 1
            await connection.send(sick.answer_bytes("4"))


class World:
    def __init__(self, stage: Stage, make: MakeGround) -> None:
        champion = stage.backend(sick.healthy("3"), record=False)
        self.herd = Herd()
        self.comes_and_goes = stage.backend(self.herd)
        self.limited, self.sticky, self.dressed = (stage.backend(sick.healthy("4")) for _ in range(3))
        self.switched, self.neighbour = stage.backend(sick.healthy("4")), stage.backend(sick.healthy("5"))
        hoards = stage.backend(sick.never_answers, record=False)
        deployments: list[dict[str, Any]] = [
            deployment("broken", champion.url, {"url": self.comes_and_goes.url, "breaker": BREAKER}),
            deployment("limited", champion.url, {"url": self.limited.url, "max_per_s": PER_S, "ramp_s": RAMP_S}),
            deployment("sticky", champion.url, {"url": self.sticky.url, "fraction": 0.5}, sticky="X-Customer"),
            deployment(
                "dressed",
                champion.url,
                {"url": self.dressed.url, "headers": {"Host": "shadow.internal", "X-Tenant": "test", "X-New": "1"}},
            ),
            deployment(
                "hoards",
                champion.url,
                {"url": hoards.url, "copy_bytes": MIB, "timeout_s": 2.0, "breaker": {"failures": 1000}},
                {"url": self.neighbour.url},
            ),
            deployment("fraud", champion.url, {"url": self.switched.url}),
        ]
        self.ground = make(deployments)


@pytest.fixture(scope="module")
def world(stage: Stage, make: MakeGround) -> World:
    return World(stage, make)


@pytest.fixture
def ground(world: World) -> Ground:
    return world.ground


async def steadily(ground: Ground, name: str, seconds: float, *, callers: int = 1, pause_s: float = 0.01) -> Visit:
    """Requests for so long, each caller with a pause between two."""
    began, seen, turn = monotonic(), Visit(), 0
    while monotonic() - began < seconds:
        turn += 1
        some = await visit(ground.data, path_of(name), [f"{turn}-{n}" for n in range(10 * callers)], callers=callers)
        seen.answers += some.answers
        seen.failed |= some.failed
        await asyncio.sleep(pause_s)
    return seen


def test_a_challenger_that_is_down_is_left_alone_probed_and_taken_back_gently(world: World, ground: Ground) -> None:
    """R-F04: few attempts while it is down, by which it is found again; no herd when it is back."""
    callers = []
    callers.append(run(steadily(ground, "broken", 0.5)))
    until("copies", lambda: ground.copies("broken").outcomes["ok"] > 0)
    assert ground.copies("broken").dropped["breaker_open"] == 0

    world.comes_and_goes.go_down()
    began = monotonic()
    callers.append(run(steadily(ground, "broken", 3.0)))
    down_s = monotonic() - began
    ground.quiet()
    down = ground.copies("broken")
    # At first those that were under way, then a probe whenever a pause of 0.3, 0.6, 1.2, 1.2 … seconds is over.
    attempts = down.dropped["connect_error"] + down.outcomes["reset"]
    assert BREAKER["failures"] <= attempts <= BREAKER["failures"] + SLOW_START + 2 + down_s / BREAKER["max_open_s"], (
        down
    )
    assert down.dropped["breaker_open"] > 3 * attempts, down

    world.herd.at_once.clear()
    world.comes_and_goes.come_back()
    until("a copy that comes through", lambda: run(steadily(ground, "broken", 0.2)).answers and world.herd.at_once)
    callers.append(run(steadily(ground, "broken", 1.5, callers=40, pause_s=0.0)))
    # Each answer allows one copy more at once: the n-th copy can meet no more than SLOW_START + n others.
    assert all(count <= SLOW_START + number + 1 for number, count in enumerate(world.herd.at_once))
    assert len(world.herd.at_once) > 20
    ground.quiet()
    assert ground.copies("broken").outcomes["ok"] > down.outcomes["ok"] + 20

    for seen in callers:
        assert (seen.failed, set(seen.statuses)) == ({}, {200})


def test_a_ceiling_holds_from_the_first_copy_on_and_rises_slowly(world: World, ground: Ground) -> None:
    """M15: a tenth of the rate at first."""
    began = monotonic()
    seen = run(steadily(ground, "limited", 2.0, pause_s=0.001))
    copies = ground.settled("limited", len(seen.answers))
    within_s = monotonic() - began
    # The rate at t is a tenth and nine tenths of t / ramp; the burst is what 100 ms allow.
    most = PER_S * (0.1 * within_s + 0.9 * within_s**2 / (2 * RAMP_S)) + 1 + 0.1 * PER_S

    assert set(seen.statuses) == {200}
    assert 0 < len(world.limited.requests) <= most
    assert copies.dropped["rate_limit"] == len(seen.answers) - len(world.limited.requests)
    assert copies.dropped["rate_limit"] > len(seen.answers) / 2


def test_a_sticky_key_decides_over_all_requests_of_one_customer(world: World, ground: Ground) -> None:
    customers = [f"customer-{number}" for number in range(40)]
    for customer in customers:
        lines = (f"x-customer: {customer}",)
        ids = [f"{customer}-{number}" for number in range(3)]
        run(visit(ground.data, path_of("sticky"), ids, callers=1, lines=lines))
    chosen = {customer for customer in customers if crc32(customer.encode()) < 0.5 * 2**32}
    ground.settled("sticky", 3 * len(chosen))
    ground.heard()

    got = [request.value(b"x-customer").decode() for request in world.sticky.requests]
    assert (set(got), len(got)) == (chosen, 3 * len(chosen))
    assert 0 < len(chosen) < len(customers)


def test_header_lines_of_a_challengers_own_replace_the_callers(world: World, ground: Ground) -> None:
    """M9: another Host, and marks that keep its side effects apart."""
    run(visit(ground.data, path_of("dressed"), ["dressed"], lines=("x-tenant: production", "x-other: kept")))
    ground.settled("dressed", 1)

    (copy,) = world.dressed.requests
    assert copy.all(b"host") == [b"shadow.internal"]
    assert copy.all(b"x-tenant") == [b"test"]
    assert copy.all(b"x-new") == [b"1"]
    assert copy.all(b"x-other") == [b"kept"]
    assert copy.all(b"sidecar-shadow") == [b"4"]


def test_a_challenger_that_hoards_uses_up_its_own_budget_only(world: World, ground: Ground) -> None:
    body = b"x" * 200_000
    began = monotonic()
    seen = run(visit(ground.data, path_of("hoards"), [f"hoard-{n}" for n in range(100)], callers=2, body=body))
    took_s = monotonic() - began
    hoarder, neighbour = ground.settled("hoards", 100), ground.settled("hoards", 100, "5")
    most = 5 * (2 + int(took_s / 2))  # one MiB of them at once, given up after two seconds

    assert dict(seen.statuses) == {200: 100}
    assert hoarder.outcomes.total() <= most
    assert hoarder.dropped["bytes_full"] + hoarder.dropped["breaker_open"] >= 100 - most, hoarder
    assert neighbour.outcomes["ok"] == 100, neighbour


def switch(ground: Ground, name: str, enabled: bool) -> int:
    body = json.dumps({"enabled": enabled}).encode()
    path = f"/v1/deployments/{name}/shadow"
    return ask_once(ground.sidecar.admin, path, body, {"content-type": "application/json"}).status


def test_the_switch_ends_all_copies_at_once_and_no_request_fails(world: World, ground: Ground) -> None:
    with Callers(ground.data) as callers:
        callers.more(50)
        until("copies", lambda: world.switched.requests)
        assert switch(ground, "fraud", enabled=False) == 200
        ground.heard()
        off = len(world.switched.requests)
        callers.more(50)
        ground.heard()
        assert len(world.switched.requests) == off
        assert ground.copies("fraud").dropped["disabled"] >= 50
        assert switch(ground, "fraud", enabled=True) == 200
        callers.more(50)
        until("copies again", lambda: len(world.switched.requests) > off)

    assert (callers.faults, callers.statuses) == ([], {200})
