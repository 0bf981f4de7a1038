"""Several workers on one socket, and sockets that are files."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.process.whole_sidecar import Callers, Make, ask, ask_once, command, connect, until


def connections_of(pid: int) -> int:
    """How many sockets a process holds."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += descriptor.readlink().name.startswith("socket:")
    return count


def test_two_workers_on_one_socket_both_serve(make: Make) -> None:
    sidecar = make(workers=2).start()
    until("both route", lambda: sidecar.metric("sidecar_workers") == 2)
    workers = sidecar.child("sidecar.app.worker")
    assert len(workers) == 2

    # Each alone: the other one stands still.
    for stopped in workers:
        os.kill(stopped, signal.SIGSTOP)
        served = set()
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(contextlib.closing(connect(sidecar.data))) for _ in range(4)]
            for connection in connections:
                served.add(ask(connection).status)
        os.kill(stopped, signal.SIGCONT)
        assert served == {200}
    until("all were counted", lambda: sidecar.metric("sidecar_requests_total", code="200") == 8)
    assert sidecar.stop() == 0


def test_sockets_that_are_files_serve_and_are_gone_afterwards(make: Make, tmp_path: Path) -> None:
    data, admin = tmp_path / "d.sock", tmp_path / "a.sock"
    settings = {"listen": f"unix:{data}", "admin": {"listen": f"unix:{admin}"}}
    sidecar = make(**settings).start()
    assert (sidecar.data, sidecar.admin) == (f"unix:{data}", f"unix:{admin}")

    with Callers(sidecar.data) as callers:
        callers.more(20)
    assert (callers.faults, callers.statuses) == ([], {200})
    assert sidecar.get("/v1/deployments/fraud")["champion"]["version"] == "3"

    # A live file is not taken over by a second one.
    second = make(**settings | {"state_dir": str(tmp_path / "other")}).begin()
    assert second.ended() == 2
    assert "another process listens there" in second.sentences[0]
    assert ask_once(sidecar.data).status == 200

    # A dead one is: the first is killed and leaves its files.
    family = sidecar.family
    sidecar.process.kill()
    sidecar.process.wait()
    until("the children's end", lambda: not any(command(pid) for pid in family))
    assert data.is_socket()
    again = make(**settings).start()
    assert ask_once(again.data).status == 200
    assert again.stop() == 0
    assert not data.exists()
    assert not admin.exists()
