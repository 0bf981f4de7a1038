"""How a child learns that it shall end, and what must not end it: run as a process, since it is about signals."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
        assert child.wait(5) == 0
