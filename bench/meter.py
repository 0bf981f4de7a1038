"""How much of the measured core a process used over a while, and how much others took of it: the machine's noise."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bench import process


class Used(msgspec.Struct, frozen=True):
    """Seconds of CPU of the process, and the share of the core that other processes took meanwhile."""

    cpu_s: float
    elsewhere: float


class Meter:
    """Runs from its making."""

    def __init__(self, pid: int, core: int) -> None:
        self._pid, self._core = pid, core
        self._cpu_s = process.cpu_s(pid)
        self._idle_s, self._total_s = core_times(core)

    def read(self) -> Used:
        """What was used so far."""
        cpu_s = process.cpu_s(self._pid) - self._cpu_s
        idle_s, total_s = core_times(self._core)
        busy_s = (total_s - self._total_s) - (idle_s - self._idle_s)
        return Used(cpu_s, max(0.0, busy_s - cpu_s) / max(1e-9, total_s - self._total_s))


def core_times(core: int) -> tuple[float, float]:
    """Idle and total seconds of a core since the start of the machine: proc(5), /proc/stat."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = [int(field) for field in fields[:8]]
            return (ticks[3] + ticks[4]) / ticks_per_s, sum(ticks) / ticks_per_s
    return 0.0, 0.0
