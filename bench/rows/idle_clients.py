"""What an idle client connection costs: resident memory of a proxy with 5,000 of them, each having been served once."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator, Mapping
from time import sleep
from urllib.parse import urlsplit

import msgspec

from bench import lone_worker, peers, process, traffic
from bench.peers import ENVOY_PLAIN, NGINX_PLAIN
from bench.result import Finding, Result, Table
from bench.spread import spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import ALONE

SIDECAR = "sidecar, no shadow, reader"
CLIENTS = 5_000
# Descriptors that the bench and the proxy need for everything else.
_SPARE_FILES = 300
_FIRST = 200
KIB = 1024
LIMIT_KIB = 16.0


class Idle(msgspec.Struct, frozen=True):
    """KiB for each connection: only accepted, and after a request on each; `kept` are still open at the end."""

    clients: int
    accepted_kib: float
    served_kib: float
    kept: int


def clients_allowed(files: int) -> int:
    """How many connections a process with so many descriptors may have; the proxy has the same limit."""
    return max(1, min(CLIENTS, files - _SPARE_FILES))


def measure(stand: Stand) -> Result:
    """The row."""
    clients = clients_allowed(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    found: dict[str, Idle] = {}
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        started = {
            NGINX_PLAIN: stack.enter_context(peers.running(stand, NGINX_PLAIN, champion, challenger)),
            ENVOY_PLAIN: stack.enter_context(peers.running(stand, ENVOY_PLAIN, champion, challenger)),
        }
        table = stand.table(champion, challenger)
        lone = stack.enter_context(lone_worker.running(stand.new("worker"), table, stand.core, stand.build))
        started[SIDECAR] = lone.url, lone.pid
        for name, (url, pid) in started.items():
            found[name] = _idle(url, pid, clients)
            stand.tell(
                f"{name:<30} {found[name].accepted_kib:6.1f} KiB accepted, {found[name].served_kib:6.1f} KiB served, "
                f"each of {clients}"
            )
    return judged(found)


def _idle(url: str, pid: int, clients: int) -> Idle:
    request = _request(url)
    # What is made once, however many connections there are, is no connection's cost.
    with _connected(url, _FIRST) as first:
        for client in first:
            _ask(client, request)
    sleep(0.5)
    before = process.resident_bytes(pid)
    with _connected(url, clients) as sockets:
        sleep(0.5)
        accepted = process.resident_bytes(pid)
        for client in sockets:
            _ask(client, request)
        sleep(1.5)
        served = process.resident_bytes(pid)
        kept = sum(1 for client in sockets if _open(client))
    return Idle(clients, (accepted - before) / KIB / clients, (served - before) / KIB / clients, kept)


@contextlib.contextmanager
def _connected(url: str, clients: int) -> Iterator[list[socket.socket]]:
    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 80), 10.0))
            for _ in range(clients)
        ]


def _request(url: str) -> bytes:
    body = traffic.bodies()[0]
    head = f"POST {ALONE} HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\ncontent-type: application/json\r\n"
    return b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body)


def _ask(client: socket.socket, request: bytes) -> None:
    client.sendall(request)
    client.recv(65_536)  # head and body come in one segment on loopback, or the rest stays unread: no matter


def _open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while data := client.recv(65_536):
            del data
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def judged(found: Mapping[str, Idle]) -> Result:
    """Against the target. Pure."""
    mine = found[SIDECAR]
    rows = [
        (name, f"{idle.clients:,}", f"{idle.accepted_kib:.1f}", f"{idle.served_kib:.1f}", f"{idle.kept:,}")
        for name, idle in found.items()
    ]
    note = "Resident memory of the process; what the kernel holds for a socket comes on top, for all alike."
    if mine.clients < CLIENTS:
        note += f" Only {mine.clients:,} connections: the limit on open files (ulimit -Hn) allows no more here."
    return Result(
        title="Idle client connections",
        findings=[
            Finding(
                measure=f"memory of each of {mine.clients:,} idle clients",
                reached=spread([max(mine.accepted_kib, mine.served_kib)]),
                limit=LIMIT_KIB,
                unit=" KiB",
                digits=1,
            )
        ],
        tables=[
            Table(
                ("proxy", "clients", "KiB each, accepted", "KiB each, after a request", "still open at the end"), rows
            )
        ],
        note=note,
    )
