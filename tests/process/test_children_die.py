"""What dies is started again, and callers do not notice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

from tests.process.whole_sidecar import INFER, ROW, Callers, Make, Sidecar, ask, ask_once, command, connect, until


def replaced(sidecar: Sidecar, module: str, before: int) -> int:
    """The process that came after another; waits for it."""
    found = until(f"another {module}", lambda: [pid for pid in sidecar.child(module) if pid != before])
    return int(found[0])


def test_traffic_goes_on_while_control_is_dead_and_it_takes_up_its_state(sidecar: Sidecar) -> None:
    until("every worker routes", sidecar.ready)
    assert ask_once(sidecar.data).status == 200
    standing, trail = sidecar.get("/v1/deployments/fraud"), sidecar.get("/v1/audit")
    control = sidecar.control

    os.kill(control, signal.SIGKILL)
    with contextlib.closing(connect(sidecar.data)) as connection:
        answers = [ask(connection) for _ in range(200)]

    assert [(answer.status, answer.version) for answer in answers] == [(200, "3")] * 200
    until("the new control routes", sidecar.ready)
    assert sidecar.control != control
    # Workers send their counters once a second. The new control may have come while requests still went on.
    until("all were counted", lambda: sidecar.metric("sidecar_requests_total", code="200") == 201)
    assert sidecar.metric("sidecar_capture_dropped_total", reason="control_down") >= 1
    again = sidecar.get("/v1/deployments/fraud")
    assert (again["generation"], again["champion"]) == (standing["generation"], standing["champion"])
    assert sidecar.get("/v1/audit") == trail
    assert sidecar.get("/v1/audit/verify")["ok"]
    assert sidecar.stop() == 0


def test_connections_made_while_no_worker_lives_wait_and_are_served(sidecar: Sidecar) -> None:
    worker = sidecar.worker
    os.kill(worker, signal.SIGKILL)
    until("its end", lambda: worker not in sidecar.child("sidecar.app.worker"))

    # Nobody accepts now; the supervisor's socket holds them.
    connections = [connect(sidecar.data) for _ in range(20)]
    for connection in connections:
        connection.request("POST", INFER, ROW)
    answers = [connection.getresponse() for connection in connections]

    assert [answer.status for answer in answers] == [200] * 20
    for connection in connections:
        connection.close()
    assert replaced(sidecar, "sidecar.app.worker", worker) != worker
    assert sidecar.logged("child died")[0]["fields"]["child"] == "worker-0"


def test_a_worker_that_dies_while_control_is_stopped_starts_from_the_table_on_disk(sidecar: Sidecar) -> None:
    until("every worker routes", sidecar.ready)
    control, worker = sidecar.control, sidecar.worker
    os.kill(control, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)

    replaced(sidecar, "sidecar.app.worker", worker)
    with contextlib.closing(connect(sidecar.data)) as connection:
        answers = [ask(connection) for _ in range(50)]
    os.kill(control, signal.SIGCONT)

    assert [(answer.status, answer.version) for answer in answers] == [(200, "3")] * 50
    until("control routes again", sidecar.ready)
    assert sidecar.control == control
    # Its exchanges were offered to a control that did not read: they arrive now.
    until("fifty mirrored", lambda: sidecar.metric("sidecar_shadow_requests_total", outcome="ok") >= 50)


def test_a_control_that_cannot_start_again_leaves_traffic_alone(make: Make, settings: dict[str, Any]) -> None:
    sidecar = make().start()
    control, worker = sidecar.control, sidecar.worker
    sidecar.config.write_text("deployments: nonsense\n", encoding="utf-8")
    os.kill(control, signal.SIGKILL)
    until("that it was tried again", lambda: len(sidecar.logged("child died")) >= 2)
    os.kill(worker, signal.SIGKILL)
    replaced(sidecar, "sidecar.app.worker", worker)

    assert ask_once(sidecar.data).version == "3"
    assert any(line.startswith("sidecar: ") and "config.yaml:1" in line for line in sidecar.sentences)
    assert "Traceback" not in sidecar.said

    sidecar.write(settings)
    until("control is back", sidecar.ready)
    assert sidecar.get("/v1/deployments/fraud")["champion"]["version"] == "3"


def test_a_garbage_routing_table_is_a_sentence_and_control_writes_it_anew(sidecar: Sidecar) -> None:
    until("every worker routes", sidecar.ready)
    table, worker = sidecar.state_dir / "routing.msgpack", sidecar.worker
    table.write_bytes(b"\x93garbage")
    os.kill(worker, signal.SIGKILL)
    until("that it was tried", lambda: any("routing table" in line for line in sidecar.sentences))
    os.kill(sidecar.control, signal.SIGKILL)  # the new one publishes

    until("a worker serves again", lambda: ask_once(sidecar.data).status == 200)
    assert "Traceback" not in sidecar.said


def test_children_of_a_killed_supervisor_drain_and_free_the_ports(sidecar: Sidecar) -> None:
    family = sidecar.family - {sidecar.process.pid}
    with Callers(sidecar.data, 1) as callers:
        callers.more(20)
        sidecar.process.kill()
        sidecar.process.wait()
        until("the children's end", lambda: not any(command(pid) for pid in family))

    assert callers.statuses <= {200, 503}
    # The same ports are free at once.
    for url in (sidecar.data, sidecar.admin):
        with socket.create_server(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as server:
            assert server.fileno() > 0
