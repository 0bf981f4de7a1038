"""A worker that cannot work for a while, or has too little memory: nobody is called late for it, and what it gives up
has an order and is counted.

R-F15, and the order of sacrifice: shadow, capture, keep-alive, new requests.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Answer, connect, post, visit
from tests.chaos.ground import Ground, deployment, path_of, run
from tests.chaos.sabotage import BALLAST_BYTES, BLOCK_S, BLOCKABLE, HEAVY, sabotaged
from tests.chaos.scripted_backend import Connection, Stage
from tests.process.whole_sidecar import until

ANSWER_S = 2.0
LATER_S = 0.3


async def later(connection: Connection) -> None:
    """Answers well within the deadline."""
    while True:
        await connection.request()
        await asyncio.sleep(LATER_S)
        await connection.send(sick.answer_bytes("3"))


# --- blocked and stopped ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blockable(stage: Stage, make: MakeGround, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    champion, challenger = stage.backend(later, record=False), stage.backend(later, record=False)
    return make(
        [deployment("fraud", champion.url, {"url": challenger.url, "timeout_s": ANSWER_S})],
        sabotaged(tmp_path_factory.mktemp("sabotage"), "sidecar.app.worker", BLOCKABLE),
        timeouts=dict.fromkeys(("headers_s", "body_s", "answer_s", "between_bytes_s", "idle_client_s"), ANSWER_S),
    )


def test_a_blocked_loop_is_measured_and_its_stack_is_logged(blockable: Ground) -> None:
    """R-F15: 250 ms, as by a slow callback; again and again, since a watch that never misses one would cost much."""

    def block_and_look() -> list[dict[str, Any]]:
        os.kill(blockable.worker, signal.SIGUSR2)
        blockable.heard()
        return blockable.sidecar.logged("the loop is blocked")

    (blocked,) = until("the stack", block_and_look, 120)
    # The loop may have been about to rest for a tenth of a second anyway.
    assert blockable.metric("sidecar_loop_lag_seconds") >= BLOCK_S - 0.11
    assert "block_the_loop" in blocked["fields"]["at"]
    assert "Traceback" not in blockable.sidecar.said


@pytest.mark.parametrize("stopped_s", [0.5, 3.5])
def test_time_in_which_the_worker_stood_still_is_nobodys_timeout(blockable: Ground, stopped_s: float) -> None:
    """Everything was due within two seconds, came in time, and lay unread: callers', champion's and challenger's."""
    before = blockable.copies("fraud")
    worker = blockable.worker

    async def ask() -> list[Answer]:
        whole, half = await connect(blockable.data), await connect(blockable.data)
        data = post(path_of("fraud"), b"{}", "half")
        half.writer.write(data[:40])
        answering = [asyncio.ensure_future(whole.ask(post(path_of("fraud"), b"{}", "whole")))]
        await asyncio.sleep(0.1)
        os.kill(worker, signal.SIGSTOP)
        try:
            half.writer.write(data[40:])
            await asyncio.sleep(stopped_s)
        finally:
            os.kill(worker, signal.SIGCONT)
        answers = [await answering[0], await asyncio.wait_for(half.answer(0.0), 60)]
        whole.reset()
        half.reset()
        return answers

    assert [answer.status for answer in run(ask())] == [200, 200]
    copies = blockable.settled("fraud", before.due + 2)
    assert dict(copies.outcomes - before.outcomes) == {"ok": 2}
    assert blockable.worker == worker


def test_deadlines_still_hold_after_that(blockable: Ground) -> None:
    async def dawdle() -> bytes:
        caller = await connect(blockable.data)
        caller.writer.write(b"POST / HTTP/1.1\r\n")
        answer = await asyncio.wait_for(caller.reader.read(), 60)
        caller.reset()
        return answer

    assert run(dawdle()).startswith(b"HTTP/1.1 408 ")


# --- too little memory -----------------------------------------------------------------------------------------


class Level(NamedTuple):
    """A share of the allowed memory, and what must be given up at it."""

    share: float
    shadow: bool = False
    capture: bool = False
    keep_alive: bool = False
    requests: bool = False


IN_ORDER = (
    Level(0.70),
    Level(0.825, shadow=True),
    Level(0.875, shadow=True, capture=True),
    Level(0.925, shadow=True, capture=True, keep_alive=True),
    Level(0.99, shadow=True, capture=True, keep_alive=True, requests=True),
    Level(0.60),
)


@pytest.fixture
def heavy(stage: Stage, make: MakeGround, tmp_path: Path) -> Ground:
    """A worker that holds 128 MiB; how much that is of what it may hold is set by reloads."""
    champion, challenger = (stage.backend(sick.healthy(version), record=False) for version in "34")
    ground = make(
        [deployment("fraud", champion.url, {"url": challenger.url})],
        sabotaged(tmp_path, "sidecar.app.worker", HEAVY),
        limits={"memory_bytes": 100 * BALLAST_BYTES},
    )
    assert ground.resident_bytes() > BALLAST_BYTES
    return ground


def allow(ground: Ground, share: float) -> None:
    """Reloads so that the worker holds this share of what it may, and waits until it knows."""
    memory_bytes = int(ground.resident_bytes() / share)
    ground.sidecar.write(ground.sidecar.settings | {"limits": {"memory_bytes": memory_bytes}})
    ground.sidecar.process.send_signal(signal.SIGHUP)
    until(f"a pressure of {share}", lambda: abs(ground.metric("sidecar_pressure") - share) < 0.015)


def test_sacrifices_come_in_their_order_and_are_taken_back(heavy: Ground) -> None:
    """The champion's requests go last. Each is counted with its reason."""
    # A first round, so that everything that is made once is made.
    run(visit(heavy.data, path_of("fraud"), [f"warm-{number}" for number in range(50)]))
    for turn, expected in enumerate(IN_ORDER):
        allow(heavy, expected.share)
        heavy.quiet()
        copies = heavy.copies("fraud")
        captured = heavy.metric("sidecar_capture_dropped_total", reason="overload")
        closed, refused = (heavy.metric("sidecar_sacrificed_total", what=what) for what in ("keep_alive", "requests"))

        seen = run(visit(heavy.data, path_of("fraud"), [f"{turn}-{number}" for number in range(20)], callers=1))

        assert seen.failed == {}
        assert dict(seen.statuses) == ({503: 20} if expected.requests else {200: 20}), expected
        if expected.requests:
            assert {answer.headers["sidecar-error"] for answer in seen.answers} == {"overloaded"}
            assert all("retry-after" in answer.headers for answer in seen.answers)
        heavy.heard()
        after = heavy.copies("fraud")
        served = 0 if expected.requests else 20
        assert after.dropped["overload"] - copies.dropped["overload"] == served * expected.shadow, expected
        assert after.outcomes["ok"] - copies.outcomes["ok"] == served * (not expected.shadow), expected
        now = heavy.metric("sidecar_capture_dropped_total", reason="overload")
        assert now - captured == served * expected.capture, expected
        closes = [answer.headers.get("connection") == "close" for answer in seen.answers]
        assert set(closes) == {expected.keep_alive}, expected
        assert (heavy.metric("sidecar_sacrificed_total", what="keep_alive") > closed) == expected.keep_alive, expected
        assert (heavy.metric("sidecar_sacrificed_total", what="requests") > refused) == expected.requests, expected
