"""A worker of its own with a reader in control's place, which takes every exchange and forgets it.

Real control folds fewer exchanges a second than a worker can offer under full load on two cores, and a dropped
exchange is cheaper than a delivered one. So the bench measures this, too: the worker's price with nothing dropped.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import msgspec

from bench import child, process
from bench.build import Build
from bench.whole_sidecar import START_S, SidecarFailed
from sidecar.records import Offered, WorkerCounts, WorkerFrame
from sidecar.wire.frames import FrameReader


class Reader(threading.Thread):
    """Control's end of one worker's link. Counts exchanges and keeps the newest counters."""

    def __init__(self, path: str) -> None:
        super().__init__(name="reader", daemon=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(1)
        self.exchanges = 0
        self.counts: WorkerCounts | None = None

    def run(self) -> None:
        """Reads until the worker goes away."""
        frames, decode = FrameReader(), msgspec.msgpack.Decoder(WorkerFrame).decode
        with self._listener:
            link, _ = self._listener.accept()
        with link, contextlib.suppress(ConnectionError):  # a worker that was killed resets it
            while data := link.recv(1 << 18):
                for content in frames.feed(data):
                    received = decode(content)
                    if isinstance(received, Offered):
                        self.exchanges += 1
                    elif isinstance(received, WorkerCounts):
                        self.counts = received


@dataclass(frozen=True, slots=True)
class LoneWorker:
    """One that runs."""

    url: str
    pid: int
    reader: Reader

    def counts(self) -> WorkerCounts:
        """Its newest counters, at most about a second old."""
        if self.reader.counts is None:
            raise SidecarFailed("the worker sent no counters")
        return self.reader.counts

    def dropped(self) -> dict[str, int]:
        """What the worker's own counters say it dropped so far, named as the whole sidecar's are."""
        counts = self.counts()
        dropped = {f"capture/{reason}": count for reason, count in counts.capture_dropped.items()}
        for shadow in counts.shadows:
            for reason, count in shadow.dropped.items():
                dropped[f"copy/{reason}"] = dropped.get(f"copy/{reason}", 0) + count
        return dropped


@contextlib.contextmanager
def running(folder: Path, table: Path, core: int, build: Build) -> Iterator[LoneWorker]:
    """A worker that routes by `table` while the context lasts."""
    folder.mkdir()
    reader = Reader(str(folder / "link.sock"))
    reader.start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    log = folder / "log"
    arguments = ["--name", "bench", "--listen-fd", str(listener.fileno())]
    arguments += ["--link", str(folder / "link.sock"), "--table", str(table)]
    with log.open("wb") as file, process.on_core(core):
        worker = subprocess.Popen(
            build.command("sidecar.app.worker", *arguments),
            stdin=subprocess.PIPE,  # its end would tell the worker to stop
            stdout=subprocess.PIPE,
            stderr=file,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
            env=build.environment(),
            cwd=folder,
        )
    try:
        if not child.await_line(worker, b"ready\n", START_S):
            raise SidecarFailed(f"the worker did not start: {child.said(log)}")
        deadline = monotonic() + START_S
        while reader.counts is None and monotonic() < deadline:
            sleep(0.05)
        yield LoneWorker(f"http://127.0.0.1:{listener.getsockname()[1]}", worker.pid, reader)
    finally:
        process.stop(worker, 0.0)  # nothing to save, and stuck copies would make a drain long
        listener.close()
        reader.join(START_S)
