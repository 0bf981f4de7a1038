"""What one watched column keeps over a restart, as it is stored.

Keeps: counts, times and names of types only; values of rows only where whoever writes puts them in. Does not judge.
Called by: a watched column.
"""

from __future__ import annotations

import msgspec
import numpy as np

from sidecar.observe.number_counts import COARSEST, INFINITE, HeldNumbers
from sidecar.reports import Cause
from sidecar.stats.edetector import EDetectorState


class NumbersOfBucket(msgspec.Struct, frozen=True):
    """Log histogram of one closed bucket as little-endian bytes; `started_at` in seconds since the epoch."""

    started_at: float
    cells: bytes
    counts: bytes
    coarsening: int

    @classmethod
    def of(cls, started_at: float, held: HeldNumbers) -> NumbersOfBucket:
        """A bucket's numbers, as they are stored."""
        cells, counts = held.cells.astype("<i4"), held.counts.astype("<u8")
        return cls(started_at, cells.tobytes(), counts.tobytes(), held.coarsening)

    def numbers(self) -> HeldNumbers:
        """Read back; ValueError where they contradict themselves."""
        if len(self.cells) % 4 or len(self.counts) != 2 * len(self.cells) or not 0 <= self.coarsening <= COARSEST:
            raise ValueError("a log histogram of the snapshot contradicts itself")
        cells = np.frombuffer(self.cells, dtype="<i4").astype(np.int32)
        counts = np.frombuffer(self.counts, dtype="<u8")
        if np.any(cells[1:] <= cells[:-1]) or np.any(np.abs(cells) > INFINITE):
            raise ValueError("the cells of a log histogram of the snapshot do not ascend")
        return HeldNumbers.of(cells, counts, self.coarsening)


class ColumnAlarm(msgspec.Struct, frozen=True):
    """An open alarm: since when, why, how many rows spoke for it, and the run of quiet buckets that may end it.

    `buckets` with rows were judged since it rose; `looked_at` so many was its cause looked for last.
    """

    since: float
    cause: Cause | None
    quiet_buckets: int
    quiet_counts: tuple[int, ...]
    rows: int = 0
    buckets: int = 0
    looked_at: int = 0


class ColumnDocument(msgspec.Struct, frozen=True):
    """All that a watched column keeps over a restart."""

    detector: EDetectorState
    recent: tuple[NumbersOfBucket, ...]
    unseen: tuple[tuple[str, int], ...]
    frequent: tuple[tuple[float, int], ...]
    wrong_types: dict[str, int]
    lengths: dict[int, int]
    absent: int
    alarm: ColumnAlarm | None
