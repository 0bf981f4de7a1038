"""Rounds: every contender once per round, in turn, so that a noisy minute hurts all of them alike.

CPU per request = (user + system time of the contender's process over the run) / requests, proc(5) and wrk.
Throughput is told, too, but misleads: load, model servers and control share the other core.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import sleep

import msgspec

from bench import load, nginx, process
from bench.stand import Contender, Stand

WARM_UP_S = 1


class Run(msgspec.Struct, frozen=True):
    """One contender in one round.

    Attributes:
        cpu_us: microseconds of CPU per request.
        copies: requests that the challenger got, per request; `new_connections` likewise.
        dropped: `capture/REASON` or `copy/REASON` -> how many in this run.
        elsewhere: share of the measured core that other processes took: the machine's noise.
    """

    contender: str
    cpu_us: float
    requests: int
    requests_per_s: float
    errors: int
    copies: float
    new_connections: float
    dropped: dict[str, int]
    elsewhere: float


class Memory:
    """The most memory that each process of the sidecar had."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self.idle = {role: process.resident_bytes(pid) for role, pid in pids.items()}
        self.most = dict(self.idle)

    def look(self) -> None:
        """Looks again."""
        for role, pid in self._pids.items():
            self.most[role] = max(self.most[role], process.resident_bytes(pid))


def measure(stand: Stand, rounds: int, seconds: int, memory: Memory, tell: Callable[[Run], None]) -> list[Run]:
    """All rounds. Each begins with another contender, so that nobody always follows the same one."""
    runs = []
    for number in range(rounds):
        first = number % len(stand.contenders)
        for contender in (*stand.contenders[first:], *stand.contenders[:first]):
            run = _run(stand, contender, seconds, memory)
            tell(run)
            runs.append(run)
    return runs


def _run(stand: Stand, contender: Contender, seconds: int, memory: Memory) -> Run:
    load.run(contender.url, stand.script, WARM_UP_S)
    dropped = _dropped(stand, contender)
    connections, served = nginx.served(stand.challenger_port)
    cpu_s, idle_s, total_s = process.cpu_s(contender.pid), *_core_times(stand.core)
    result = load.run(contender.url, stand.script, seconds, memory.look)
    cpu_s = process.cpu_s(contender.pid) - cpu_s
    idle_after_s, total_after_s = _core_times(stand.core)
    busy_s = (total_after_s - total_s) - (idle_after_s - idle_s)
    sleep(0.3)  # the last copies
    connections_after, served_after = nginx.served(stand.challenger_port)
    dropped = _more(dropped, _dropped(stand, contender))
    stand.sidecar.check()
    requests = max(1, result.requests)
    return Run(
        contender=contender.name,
        cpu_us=cpu_s / requests * 1e6,
        requests=result.requests,
        requests_per_s=result.requests / result.seconds,
        errors=result.errors,
        # Less the requests for the figures themselves.
        copies=(served_after - served - 1) / requests,
        new_connections=(connections_after - connections - 1) / requests,
        dropped=dropped,
        elsewhere=max(0.0, busy_s - cpu_s) / max(1e-9, total_after_s - total_s),
    )


def _dropped(stand: Stand, contender: Contender) -> dict[str, int]:
    """The counts so far, once control rests: what it still worked on would burden the next run."""
    if contender.dropped is None:
        return {}
    stand.sidecar.rest()
    return contender.dropped()


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count > before.get(reason, 0)}


def _core_times(core: int) -> tuple[float, float]:
    """Idle and total seconds of a core since the start of the machine: proc(5), /proc/stat."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = [int(field) for field in fields[:8]]
            return (ticks[3] + ticks[4]) / ticks_per_s, sum(ticks) / ticks_per_s
    return 0.0, 0.0
