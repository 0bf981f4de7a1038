"""Where everything is measured: two cores, folders that vanish afterwards, the builds, and how much effort is asked.

Each row brings up what it needs on this stand and takes it down again; only one contender at a time is under load.
"""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import child, h2load, load, nginx, open_loop, process, programs, tables, traffic, whole_sidecar
from bench.build import Build, NotUsable

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  where nginx may store answers without a disk


class TooFewCores(Exception):
    """The bench needs one core for what it measures and another for all the rest."""


# Whatever keeps a bench from being run, each with a message for people.
UNABLE = (
    TooFewCores,
    NotUsable,
    programs.Missing,
    process.Gone,
    child.DidNotStart,
    load.LoadFailed,
    h2load.LoadFailed,
    open_loop.LoadFailed,
    whole_sidecar.SidecarFailed,
)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where and how a row measures.

    Attributes:
        core: for what is measured; `load_core` for everything else.
        folder: on the disk; `memory` in memory where the machine has such a folder.
        build: the sidecar as it ships; `pure` is the same in pure Python where it ships compiled.
        rounds, seconds: how often each contender is measured, and how long.
        full: take the time that the slow rows were meant to have.
        tell: says a line of progress.
    """

    core: int
    load_core: int
    folder: Path
    memory: Path
    build: Build
    pure: Build | None
    rounds: int
    seconds: int
    full: bool
    tell: Callable[[str], None]

    def new(self, name: str, *, in_memory: bool = False) -> Path:
        """A folder's name that nobody had before; whoever is started there makes it."""
        return (self.memory if in_memory else self.folder) / f"{name}-{next(_numbers)}"

    @contextlib.contextmanager
    def backend(self, version: str, *, idle_s: float = 75.0) -> Iterator[int]:
        """A healthy model server; gives its port."""
        (port,) = child.free_ports(1)
        server = nginx.backend(port, traffic.answer(version), idle_s=idle_s)
        with nginx.running(self.new("backend"), [server], [port], self.load_core):
            yield port

    def table(self, champion: int, challenger: int) -> Path:
        """A routing table with the deployment that is copied and the one that is not."""
        return tables.write(self.new("table"), tables.pair(champion, challenger), champion)


_numbers = count(1)


def cores() -> tuple[int, int]:
    """The core for what is measured, and the core for everything else."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise TooFewCores("the bench needs two cores")
    return mine[0], mine[1]


@contextlib.contextmanager
def standing(
    build: Build,
    pure: Build | None,
    *,
    rounds: int,
    seconds: int,
    full: bool,
    tell: Callable[[str], None],
) -> Iterator[Stand]:
    """A stand while the context lasts. The bench itself goes to the load's core, and its children with it."""
    core, load_core = cores()
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {load_core})
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-bench-")))
        able = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-bench-", dir=able)))
        yield Stand(core, load_core, folder, memory, build, pure, rounds, seconds, full, tell)
