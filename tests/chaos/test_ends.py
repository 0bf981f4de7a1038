"""How a sidecar, or a part of it, ends under load: what was begun is answered, nobody is refused, state stands.

R-F13, R-F14. How it ends at rest is tried in tests/process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from time import monotonic

import pytest

from tests.chaos import fussy_champions as fussy
from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Answer, connect, post
from tests.chaos.ground import OFF, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Stage
from tests.process.whole_sidecar import Callers, ask_once, command, until

PARTS = 40
STREAMS = 24


@pytest.fixture
def ground(stage: Stage, make: MakeGround) -> Ground:
    """Answers that take a second and a half, copies to a challenger that never answers, and ordinary traffic."""
    streaming = stage.backend(fussy.streams(PARTS, 1.5 / PARTS), record=False)
    quick, silent = stage.backend(sick.healthy("3"), record=False), stage.backend(sick.never_answers, record=False)
    challenger = stage.backend(sick.healthy("4"), record=False)
    return make(
        [
            deployment("stream", streaming.url, {"url": silent.url, "timeout_s": 30}),
            deployment("fraud", quick.url, {"url": challenger.url}, gates=OFF | {"pairs": {"min": 1}}),
        ],
        timeouts={"drain_s": 50},
    )


async def streams_cut_by(ground: Ground, signalled: int, number: signal.Signals) -> list[Answer]:
    """Begins streams at different times; the signal comes in the middle of all of them."""

    async def one(late_s: float) -> Answer:
        await asyncio.sleep(late_s)
        caller = await connect(ground.data)
        answer = await caller.ask(post(path_of("stream"), b"{}"))
        caller.reset()
        return answer

    asked = [asyncio.ensure_future(one(0.5 * turn / STREAMS)) for turn in range(STREAMS)]
    await asyncio.sleep(1.0)
    os.kill(signalled, number)
    return await asyncio.gather(*asked)


def whole(answers: list[Answer]) -> bool:
    """Each came complete: a cut one would have raised, or be shorter."""
    return Counter(answer.body for answer in answers) == {fussy.streamed(PARTS): STREAMS}


def test_sigterm_cuts_no_streaming_answer_and_the_exit_is_clean(ground: Ground) -> None:
    """R-F13. The copies that still run are given up."""
    answers = run(streams_cut_by(ground, ground.sidecar.process.pid, signal.SIGTERM))

    assert whole(answers)
    assert ground.sidecar.ended() == 0
    assert ground.sidecar.logged("child did not stop in time") == []
    assert not any(command(pid) for pid in ground.sidecar.family)


def test_a_worker_that_is_replaced_cuts_nothing_and_nobody_is_refused(ground: Ground) -> None:
    """R-F13, hand-over: the sockets are the supervisor's, so the next worker takes up whoever waits."""
    worker = ground.worker
    refused: list[str] = []
    over = threading.Event()

    def knock() -> None:
        """New connections all the while, one after the other."""
        while not over.is_set():
            try:
                status = ask_once(ground.data).status
            except OSError as fault:
                refused.append(repr(fault))
            else:
                if status != 200:
                    refused.append(str(status))

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        answers = run(streams_cut_by(ground, worker, signal.SIGTERM))
        until("another worker", lambda: [pid for pid in ground.sidecar.child("sidecar.app.worker") if pid != worker])
        until("that it routes", ground.sidecar.ready)
    finally:
        over.set()
        thread.join()

    assert whole(answers)
    assert refused == []
    assert [line["fields"]["code"] for line in ground.sidecar.logged("child died")] == [0]


def test_a_worker_that_is_killed_is_back_at_once_and_only_what_it_served_is_lost(ground: Ground) -> None:
    """R-F14."""
    with Callers(ground.data, 4) as callers:
        callers.more(100)
        os.kill(ground.worker, signal.SIGKILL)
        began = monotonic()
        answered = len(callers.answers)
        until("answers again", lambda: len(callers.answers) > answered + 20)
        back_s = monotonic() - began
        callers.more(100)

    assert callers.statuses == {200}
    assert len(callers.faults) <= 4
    assert back_s < 30.0
    until("that it routes", ground.sidecar.ready)


def test_a_sidecar_that_is_killed_whole_comes_back_with_its_state(ground: Ground) -> None:
    """R-F14: after a promotion, under load, every process at once."""
    sidecar = ground.sidecar
    with Callers(ground.data, 2) as callers:
        until("the gates pass", lambda: sidecar.get("/v1/deployments/fraud/gates")["verdict"] == "pass")
        promoted = sidecar.cli("promote", "fraud", "4", "--reason", "the gates pass")
        assert promoted.returncode == 0, promoted.stderr
        until("that callers see it", lambda: callers.answers[-1][1] == "4")
        before = sidecar.get("/v1/deployments/fraud"), sidecar.get("/v1/audit")
        for pid in sidecar.family | set(sidecar.children()):
            os.kill(pid, signal.SIGKILL)
        sidecar.process.wait()

    began = monotonic()
    sidecar.start()
    assert ask_once(sidecar.data).version == "4"
    assert monotonic() - began < 60.0
    until("every worker routes", sidecar.ready)
    status = sidecar.get("/v1/deployments/fraud")
    assert [status[key] for key in ("champion", "generation")] == [before[0][key] for key in ("champion", "generation")]
    assert sidecar.get("/v1/audit") == before[1]
    assert sidecar.get("/v1/audit/verify")["ok"]
