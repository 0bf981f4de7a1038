"""Experiment J: what a process holds after so many values. Called by `speed`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.drift import memory_run
from bench.drift.plan import Plan
from bench.programs import Missing

FEATURES = 200
# After ten million values all windows are full.
VALUES = ((10_000_000, 20_000_000), (10_000_000, 100_000_000))


class Held(msgspec.Struct, frozen=True):
    """Bytes that a process holds more than before it read the baseline, after so many values; see `memory_run`."""

    values: int
    live: int
    own: int
    programs: int
    snapshot: int

    def shown(self) -> tuple[str, ...]:
        """A row of the table."""
        each = (kib_a_feature(one) for one in (self.live, self.own, self.snapshot))
        return (f"{self.values:,}", *(f"{one:.1f}" for one in each), f"{self.programs / 1024:,.0f}")


def kib_a_feature(held_bytes: int) -> float:
    """KiB for each of the features of the memory run."""
    return held_bytes / FEATURES / 1024


def held(plan: Plan) -> list[Held]:
    """Two processes: whoever counts every object takes memory for that."""
    counted, resident = _after(plan, memory_run.LIVE), _after(plan, "resident")
    found = [msgspec.structs.replace(one, live=other.live) for one, other in zip(resident, counted, strict=True)]
    for one in found:
        plan.tell(f"  {one.values:,} values: {kib_a_feature(one.live):.1f} KiB a feature")
    return found


def _after(plan: Plan, how: str) -> list[Held]:
    limits = [str(values) for values in plan.pick(*VALUES)]
    command = [sys.executable, str(Path(memory_run.__file__)), str(FEATURES), how, *limits]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["the memory run said nothing"])[-1])
    return [msgspec.json.decode(line, type=Held) for line in done.stdout.splitlines()]
