"""10,000 clients that go away at a random point: in the head, in the body, while waiting, while reading the answer.

Half close, half reset. Afterwards descriptors, memory and requests in flight must be where they were.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import msgspec

from bench import child, load, lone_worker, odd_server, process, tables, traffic
from bench.lone_worker import LoneWorker
from bench.result import Finding, Result, Table
from bench.spread import spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, MODEL
from bench.whole_sidecar import SHADOWED

ABORTS, FIRST = 10_000, 1_000
_OPEN = 64
_WHOLE_SHARE, _READING_SHARE = 0.5, 0.5
_RESET = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER
_SETTLE_S = 20.0
_SEED = 23
MIB = 1 << 20
LIMIT_MIB = 4.0


class State(msgspec.Struct, frozen=True):
    """What a worker holds."""

    open_files: int
    resident_mib: float
    connections: int
    inflight: int
    held_bytes: int


def measure(stand: Stand) -> Result:
    """The row."""
    (slow,) = child.free_ports(1)
    with (
        odd_server.running(stand.new("odd"), {"slow": slow}, stand.load_core),
        stand.backend(CHALLENGER) as challenger,
    ):
        table = tables.write(stand.new("table"), [tables.deployment(MODEL, slow, challenger)], slow)
        script = load.write_script(stand.new("requests"), traffic.bodies())
        with lone_worker.running(stand.new("worker"), table, stand.core, stand.build) as worker:
            # The start is a worker that has been loaded and aborted on before: buffers that it keeps are no leak.
            load.run(worker.url + SHADOWED, script, 1)
            _abort(worker.url, FIRST)
            before = _settled(worker, lambda state: state.inflight == 0 and state.connections == 0)
            began_s = monotonic()
            _abort(worker.url, ABORTS)
            took_s = monotonic() - began_s
            after = _settled(worker, lambda state: _none_left(before, state))
            answers = _still_serves(worker.url, script)
    stand.tell(f"{ABORTS} aborts in {took_s:.1f} s; before {before}; after {after}; then {answers} good answers")
    return judged(before, after, answers)


def _abort(url: str, count: int) -> None:
    """So many clients, some dozens of them open at a time. Nobody waits: the next client's coming ends another."""
    parts = urlsplit(url)
    rng = random.Random(_SEED)
    body = traffic.bodies()[0]
    head = f"POST {SHADOWED} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body)
    opened: list[socket.socket] = []
    for _ in range(count):
        client = socket.create_connection((parts.hostname or "", parts.port or 80), 10.0)
        whole = rng.random() < _WHOLE_SHARE
        client.sendall(request if whole else request[: rng.randrange(len(request))])
        client.setblocking(False)
        opened.append(client)
        if len(opened) > _OPEN:
            _leave(opened.pop(rng.randrange(len(opened))), rng)
    for client in opened:
        _leave(client, rng)


def _leave(client: socket.socket, rng: random.Random) -> None:
    try:
        if rng.random() < _READING_SHARE:
            client.recv(rng.randrange(1, 65_536))
        if rng.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:  # nothing has come yet, or the worker has gone first
        pass
    finally:
        client.close()


def _settled(worker: LoneWorker, done: Callable[[State], bool]) -> State:
    """The worker's state once it is `done`, or when patience ends. Idle upstream connections end after 4 s."""
    deadline = monotonic() + _SETTLE_S
    sleep(6.0)
    while not done(state := _state(worker)) and monotonic() < deadline:
        sleep(0.5)
    return state


def _state(worker: LoneWorker) -> State:
    counts = worker.counts()
    return State(
        open_files=process.open_files(worker.pid),
        resident_mib=process.resident_bytes(worker.pid) / MIB,
        connections=counts.connections,
        inflight=counts.inflight,
        held_bytes=counts.held_bytes,
    )


def _none_left(before: State, state: State) -> bool:
    return state.open_files <= before.open_files and state.inflight == 0 and state.connections == 0


def _still_serves(url: str, script: Path) -> int:
    result = load.run(url + SHADOWED, script, 1)
    return result.requests - result.errors


def judged(before: State, after: State, answers: int) -> Result:
    """Everything back at the start. Pure."""
    leaks: tuple[tuple[str, float, float, str, int], ...] = (
        ("descriptors left", after.open_files - before.open_files, 0, "", 0),
        ("memory left", after.resident_mib - before.resident_mib, LIMIT_MIB, " MiB", 1),
        ("requests in flight left", after.inflight, 0, "", 0),
        ("client connections left", after.connections, 0, "", 0),
    )
    rows = [(name, f"{getattr(before, name):,.0f}", f"{getattr(after, name):,.0f}") for name in State.__struct_fields__]
    return Result(
        title="Clients that go away",
        findings=[
            Finding(
                measure=f"{measure} after {ABORTS:,} aborts",
                reached=spread([value]),
                limit=limit,
                unit=unit,
                digits=digits,
            )
            for measure, value, limit, unit, digits in leaks
        ],
        tables=[Table(("the worker's", "before", "after"), rows)],
        note=(
            f"Before: after load and {FIRST:,} aborts, so that what a worker keeps for the next request is no leak; an "
            f"allocator's whim of {LIMIT_MIB:g} MiB is none either. Afterwards {answers:,} requests in a second were "
            "answered well."
        ),
    )
