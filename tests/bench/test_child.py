"""Children of the bench: awaited, quoted when they fail, born on their core, and gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import child, process
from bench.meter import Meter

LISTEN = """\
import os, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""


def test_a_server_is_there_once_the_context_begins_and_gone_after_it(tmp_path: Path) -> None:
    (port,) = child.free_ports(1)
    core = max(os.sched_getaffinity(0))
    mine = os.sched_getaffinity(0)
    with child.listening([sys.executable, "-c", LISTEN, str(port)], [port], folder=tmp_path, core=core) as server:
        assert server.poll() is None
        assert os.sched_getaffinity(server.pid) == {core}
        assert os.sched_getaffinity(0) == mine
    assert server.poll() is not None


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    (port,) = child.free_ports(1)
    command = [sys.executable, "-c", "import sys; sys.exit('no such option')"]
    with (
        pytest.raises(child.DidNotStart, match="did not start: no such option"),
        child.listening(command, [port], folder=tmp_path, core=min(os.sched_getaffinity(0))),
    ):
        pytest.fail("nobody listens")


def test_ports_that_are_free_differ() -> None:
    assert len(set(child.free_ports(20))) == 20


def test_a_line_is_awaited_and_an_end_without_it_is_told() -> None:
    program = "print('getting there'); print('ready')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as said:
        assert child.await_line(said, b"ready\n", 10.0)
    with subprocess.Popen([sys.executable, "-c", "print('bye')"], stdout=subprocess.PIPE) as said:
        assert not child.await_line(said, b"ready\n", 10.0)


def test_who_is_put_behind_runs_only_when_nobody_else_does() -> None:
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        process.put_behind(sleeper.pid)
        assert os.sched_getscheduler(sleeper.pid) == os.SCHED_IDLE
    finally:
        process.stop(sleeper, 0.0)
    assert sleeper.returncode == -9


def test_a_meter_sees_what_a_process_used() -> None:
    core = min(os.sched_getaffinity(0))
    meter = Meter(os.getpid(), core)
    with process.on_core(core):
        while meter.read().cpu_s < 0.05:
            sum(range(10_000))
    used = meter.read()
    assert 0.05 <= used.cpu_s < 5.0
    assert 0.0 <= used.elsewhere <= 1.0
