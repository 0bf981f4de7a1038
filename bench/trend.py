"""Does a series grow? Pure: samples in, slope and verdict out.

The slope is Theil and Sen's: the median of the slopes between all pairs of samples (Sen 1968), which one odd sample
cannot bend. The first third of the samples is left out: caches and pools fill there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

import msgspec

MIB = 1 << 20
# Growth over the judged stretch that is no growth: an allocator's whim.
SPARE_BYTES, SPARE_SHARE = 2 * MIB, 0.03
# Connections come and go, and the busier the machine the more there are at a look; a leak raises the least, too.
SPARE_FILES, SPARE_FILES_SHARE = 2, 0.1
# A pool of threads fills when it is needed.
SPARE_THREADS = 2


class Sample(msgspec.Struct, frozen=True):
    """One look at a process. `at_s` counts from the start of the load; `threads` are the kernel's tasks."""

    at_s: float
    resident_bytes: int
    open_files: int
    threads: int = 1


class Trend(msgspec.Struct, frozen=True):
    """What became of a process. `bytes_per_minute` and the verdicts are about the judged stretch."""

    first_bytes: int
    last_bytes: int
    most_bytes: int
    bytes_per_minute: float
    memory_flat: bool
    first_files: int
    last_files: int
    files_flat: bool
    first_threads: int
    last_threads: int
    threads_flat: bool

    @property
    def flat(self) -> bool:
        """Nothing grows."""
        return self.memory_flat and self.files_flat and self.threads_flat


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen's slope; 0 for fewer than two points.

    >>> slope([(0, 1), (1, 3), (2, 500), (3, 7), (4, 9)])
    2.0
    """
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return median(slopes) if slopes else 0.0


def trend(samples: Sequence[Sample]) -> Trend:
    """Judges at least one sample."""
    judged = samples[len(samples) // 3 :]
    span_s = judged[-1].at_s - judged[0].at_s
    per_s = slope([(sample.at_s, sample.resident_bytes) for sample in judged])
    spare = max(SPARE_BYTES, SPARE_SHARE * median(sample.resident_bytes for sample in judged))
    half = max(1, len(judged) // 2)
    first, last = judged[:half], judged[-half:]
    files = min(sample.open_files for sample in first)
    return Trend(
        first_bytes=samples[0].resident_bytes,
        last_bytes=samples[-1].resident_bytes,
        most_bytes=max(sample.resident_bytes for sample in samples),
        bytes_per_minute=per_s * 60,
        memory_flat=per_s * span_s <= spare,
        first_files=samples[0].open_files,
        last_files=samples[-1].open_files,
        files_flat=min(s.open_files for s in last) <= files + max(SPARE_FILES, SPARE_FILES_SHARE * files),
        first_threads=samples[0].threads,
        last_threads=samples[-1].threads,
        threads_flat=median(s.threads for s in last) <= median(s.threads for s in first) + SPARE_THREADS,
    )
