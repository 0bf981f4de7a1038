"""A child process while a context lasts: born on its core, its words in a log, awaited until it listens, then stopped.

What it must not do is stay: it has a session of its own, and whoever remains of that is killed at the end.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep

from bench import process

START_S = 30.0


class DidNotStart(Exception):
    """A child ended at once, or did not listen in time. The message quotes it."""


@contextlib.contextmanager
def listening(
    command: Sequence[str],
    ports: Sequence[int],
    *,
    folder: Path,
    core: int,
    cwd: Path | None = None,
    patience_s: float = process.STOP_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server; the context begins once it accepts connections on all of its ports."""
    log = folder / "log"
    with log.open("wb") as file, process.on_core(core):
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, cwd=cwd or folder
        )
    try:
        _await_ports(child, ports, log)
        yield child
    finally:
        process.stop(child, patience_s)


def _await_ports(child: subprocess.Popen[bytes], ports: Sequence[int], log: Path) -> None:
    deadline = monotonic() + START_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            if child.poll() is not None or monotonic() > deadline:
                raise DidNotStart(f"{Path(str(child.args[0])).name} did not start: {said(log)}")  # type: ignore[index]
            sleep(0.02)


def await_line(child: subprocess.Popen[bytes], wanted: bytes, within_s: float) -> bool:
    """Whether a child process says `wanted` on its standard output in time."""
    if child.stdout is None:
        return False
    heard = b""
    deadline = monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while wanted not in heard:
            if not selector.select(max(0.0, deadline - monotonic())):
                return False
            part = os.read(child.stdout.fileno(), 4096)
            if not part:
                return False
            heard += part
    return True


def said(log: Path) -> str:
    """The end of what a child wrote."""
    return log.read_text(errors="replace").strip()[-300:] or "it said nothing"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, for servers that cannot say which one they took.

    Below the range from which the kernel takes one for whoever names none: until the server is up, nobody gets it by
    chance.
    """
    begin = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(min(10_000, begin // 2), begin)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found += [port] * (port not in found)
    return found
