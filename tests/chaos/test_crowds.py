"""Callers by the thousand that are slow, leave midway, or are simply too many: the honest ones do not notice.

R-F07, R-F08, R-F12, R-F19.
"""

from __future__ import annotations

import asyncio
import random
import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from bench import process
from tests.chaos import crowd
from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import ABORT_POINTS, Caller, Visit, connect, post, visit
from tests.chaos.ground import MIB, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Connection, Stage
from tests.process.whole_sidecar import until

SLOW = 1000
DEADLINE_S = 2.0
# Far above what a busy machine adds, below what waiting for a slow caller would.
LIMIT_S = 1.5
# From a deadline to the end: the tick of a second, and two seconds in which a refused caller may stop sending.
GONE_S = DEADLINE_S + 1 + 2 + 30
CONNECTIONS = 1400
LARGE_BYTES = MIB


async def a_little_late(connection: Connection) -> None:
    """Takes its time and says much, so that callers can leave at every moment."""
    answer = sick.answer_bytes("3", 60_000)
    while True:
        await connection.request()
        await asyncio.sleep(0.003)
        await connection.send(answer[:30_000])
        await asyncio.sleep(0.001)
        await connection.send(answer[30_000:])


def a_ground(stage: Stage, make: MakeGround, listen: str) -> Ground:
    quick, challenger = stage.backend(sick.healthy("3"), record=False), stage.backend(sick.healthy("4"), record=False)
    large = stage.backend(sick.healthy("3", LARGE_BYTES), record=False)
    late = stage.backend(a_little_late, record=False)
    return make(
        [
            deployment("honest", quick.url, {"url": challenger.url}),
            deployment("large", large.url),
            deployment("late", late.url, {"url": challenger.url}),
        ],
        listen=listen,
        limits={"connections": CONNECTIONS},
        timeouts={"headers_s": DEADLINE_S, "body_s": DEADLINE_S, "between_bytes_s": DEADLINE_S, "idle_upstream_s": 1.0},
    )


@pytest.fixture(scope="module")
def ground(stage: Stage, make: MakeGround) -> Ground:
    return a_ground(stage, make, "127.0.0.1:0")


@pytest.fixture(scope="module")
def ground_on_a_file(stage: Stage, make: MakeGround, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return a_ground(stage, make, f"unix:{tmp_path_factory.mktemp('u') / 'd.sock'}")


class Slowness(NamedTuple):
    """A way of being slow, and how much a worker may hold for each who is."""

    call: Callable[[str, str], Awaitable[float]]
    to: str
    bytes_each: int


SLOWNESS = {
    "heads": Slowness(crowd.slow_head, "honest", 32_768),
    "bodies": Slowness(crowd.slow_body, "honest", 49_152),
    # What the champion sent in one read, and could not be passed on.
    "readers": Slowness(crowd.slow_reader, "large", 524_288),
}


@pytest.mark.parametrize("kind", ["heads", "bodies"])
def test_honest_callers_do_not_notice_a_thousand_who_send_slowly(ground: Ground, kind: str) -> None:
    """R-F07."""
    slow_ones_are_gone_in_time(ground, kind)


def test_honest_callers_do_not_notice_a_thousand_who_do_not_read(ground_on_a_file: Ground) -> None:
    """R-F07. A file for a socket holds little in the kernel; by TCP their answers would lie there by the gigabyte."""
    slow_ones_are_gone_in_time(ground_on_a_file, "readers")


def slow_ones_are_gone_in_time(ground: Ground, kind: str) -> None:
    call, to, bytes_each = SLOWNESS[kind]
    before = ground.resident_bytes()

    async def play() -> tuple[list[float], Visit, int]:
        slow = [asyncio.ensure_future(call(ground.data, path_of(to))) for _ in range(SLOW)]
        honest = Visit()
        most = 0
        while not all(task.done() for task in slow):
            some = await visit(ground.data, path_of("honest"), [f"{kind}-{n}" for n in range(40)], callers=4)
            honest.answers += some.answers
            honest.failed |= some.failed
            most = max(most, ground.resident_bytes())
            await asyncio.sleep(0.05)
        return await asyncio.gather(*slow), honest, most

    seconds, honest, most = run(play())

    assert (honest.failed, set(honest.statuses)) == ({}, {200})
    assert len(honest.answers) >= 40
    assert honest.p90_s < LIMIT_S
    assert len(seconds) == SLOW
    assert max(seconds) < GONE_S
    assert most - before < SLOW * bytes_each + 16 * MIB
    ground.empty()


async def came(ground: Ground) -> tuple[str, Caller | None]:
    """What a caller met who came, and his connection if he was answered."""
    try:
        caller = await connect(ground.data)
    except OSError:
        return "cut", None
    try:
        answer = await asyncio.wait_for(caller.ask(post(path_of("honest"))), 60)
    except (OSError, asyncio.IncompleteReadError):
        caller.reset()
        return "cut", None
    return str(answer.status), caller


def leave(crowd: list[tuple[str, Caller | None]]) -> None:
    for _, caller in crowd:
        if caller is not None:
            caller.reset()


def test_callers_beyond_the_limit_are_refused_at_once_and_room_is_there_again_at_once(ground: Ground) -> None:
    """R-F08: half as many again as are let in."""
    ground.empty()

    async def flood() -> tuple[Counter[str], Visit, float]:
        kept = await connect(ground.data)
        await kept.ask(post(path_of("honest")))
        crowd = await asyncio.gather(*(came(ground) for _ in range(CONNECTIONS + CONNECTIONS // 2)))
        met = Counter(outcome for outcome, _ in crowd)
        # Whoever was let in before is served on.
        inside = Visit()
        for _ in range(50):
            inside.answers.append(await kept.ask(post(path_of("honest"))))
        leave(crowd)
        began, again = monotonic(), await came(ground)
        while again[0] != "200":
            leave([again])
            await asyncio.sleep(0.01)
            again = await came(ground)
        recovered_s = monotonic() - began
        leave([("", kept), again])
        return met, inside, recovered_s

    met, inside, recovered_s = run(flood())

    assert met["200"] == CONNECTIONS - 1
    assert set(met) <= {"200", "503", "cut"}
    assert met["503"] > 0
    assert dict(inside.statuses) == {200: 50}
    assert recovered_s < 10.0
    ground.heard()
    assert ground.metric("sidecar_refused_total", reason="overloaded") >= met["503"]
    ground.empty()


def test_callers_that_leave_midway_leave_nothing_behind(ground: Ground, *, long_form: bool) -> None:
    """R-F12: at twenty points of a request and its answer, half of them by a reset."""
    number = 10_000 if long_form else 2000
    chance = random.Random(12)
    request = post(path_of("late"), b"x" * 50_000)

    async def leave(count: int) -> None:
        for start in range(0, count, 50):
            points = [(start + n) % ABORT_POINTS for n in range(50)]
            await asyncio.gather(
                *(crowd.aborted(ground.data, request, point, politely=chance.random() < 0.5) for point in points)
            )

    def left() -> tuple[int, int, int]:
        ground.empty()
        return ground.open_files(), ground.threads(), ground.resident_bytes()

    run(leave(500))
    before = left()
    run(leave(number), 600)
    after = left()

    assert after[0] <= before[0]
    assert after[1] == before[1]
    assert after[2] - before[2] < 4 * MIB
    assert dict(run(visit(ground.data, path_of("late"), ["whole"], callers=1)).statuses) == {200: 1}
    assert ground.metric("sidecar_requests_total", deployment="late", code="499") > 0


# --- no file left ----------------------------------------------------------------------------------------------


@pytest.fixture
def few_files(ground: Ground) -> Iterator[int]:
    """Leaves the worker room for forty files more; how many it may open."""
    before = resource.prlimit(ground.worker, resource.RLIMIT_NOFILE)
    limit = ground.open_files() + 40
    resource.prlimit(ground.worker, resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit
    resource.prlimit(ground.worker, resource.RLIMIT_NOFILE, before)


def test_without_files_left_it_waits_and_serves_who_is_there(ground: Ground, few_files: int) -> None:
    """R-F19: no spinning, no death; and as soon as there are files again, everything is as before."""
    worker = ground.worker

    async def starve() -> tuple[Visit, float, int]:
        inside = await connect(ground.data)
        await inside.ask(post(path_of("honest")))
        crowd = [await connect(ground.data) for _ in range(120)]
        await asyncio.sleep(0.5)
        used, began, seen = process.cpu_s(worker), monotonic(), Visit()
        for _ in range(20):
            seen.answers.append(await asyncio.wait_for(inside.ask(post(path_of("honest"))), 60))
            await asyncio.sleep(0.1)
        share = (process.cpu_s(worker) - used) / (monotonic() - began)
        most = ground.open_files()
        for caller in (*crowd, inside):
            caller.reset()
        return seen, share, most

    seen, share, most = run(starve())

    assert dict(seen.statuses) == {200: 20}
    assert most <= few_files
    assert share < 0.5
    until("that files are free again", lambda: ground.open_files() < few_files - 20)
    assert dict(run(visit(ground.data, path_of("honest"), [f"free-{n}" for n in range(50)])).statuses) == {200: 50}
    assert ground.worker == worker


def test_it_is_the_worker_that_it_was(ground: Ground) -> None:
    assert ground.sidecar.logged("child died") == []
    assert "Traceback" not in ground.sidecar.said
    assert Path(f"/proc/{ground.worker}").is_dir()
