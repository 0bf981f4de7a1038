"""How a child learns that it shall end, and what must not end it: run as a process, since it is about signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from sidecar.app.stopping import unless_told

PROGRAM = """\
import asyncio
from sidecar.app.stopping import stop_when_told

async def serve():
    stopping = asyncio.Event()
    stop_when_told(asyncio.get_running_loop(), stopping)
    print("ready", flush=True)
    await stopping.wait()
    print("stopping", flush=True)

asyncio.run(serve())
"""


@pytest.mark.parametrize("told_by", ["SIGTERM", "end of input"])
def test_only_sigterm_and_the_supervisors_end_stop_a_child(told_by: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        # What a terminal sends to the whole group is the supervisor's to answer; bytes on the pipe mean nothing.
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGHUP)
        child.stdin.write(b"x")
        child.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)

        if told_by == "SIGTERM":
            child.send_signal(signal.SIGTERM)
        else:
            child.stdin.close()

        assert child.stdout.readline() == b"stopping\n"
        assert child.wait(60) == 0


async def test_what_is_being_opened_lets_go_when_it_shall_stop() -> None:
    steps: list[str] = []
    stopping = asyncio.Event()

    async def opening() -> None:
        steps.append("waits for someone")
        stopping.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("let go")

    assert not await unless_told(opening(), stopping)
    assert steps == ["waits for someone", "let go"]


async def test_what_is_open_before_it_shall_stop_is_open() -> None:
    stopping = asyncio.Event()

    async def opening() -> None:
        stopping.set()

    assert await unless_told(opening(), stopping)


async def test_what_cannot_be_opened_says_why() -> None:
    async def opening() -> None:
        raise OSError("no such folder")

    with pytest.raises(OSError, match="no such folder"):
        await unless_told(opening(), asyncio.Event())


async def test_who_opens_and_is_cancelled_leaves_nothing_half_open() -> None:
    began, let_go = asyncio.Event(), asyncio.Event()

    async def opening() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()

    task = asyncio.create_task(unless_told(opening(), asyncio.Event()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert let_go.is_set()
