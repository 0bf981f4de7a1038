"""Many streams of one column at once: the product's own detectors, whose evidence is worked out in one sweep.

Keeps: log S of every stream after every bucket is that of an `EDetector` closed by itself on the same counts;
`same_as_product` proves it on some streams, and the experiments print it. Buckets are never empty here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.edetector import EDetector
from sidecar.stats.overdispersion import take_note

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
_NEVER = 1e300


class ManyStreams:
    """`streams` detectors of the same baseline counts, closed together; `ordered` as the product's."""

    def __init__(self, baseline: Counts, tolerance: float, streams: int, ordered: int = 0) -> None:
        self.streams = streams
        self._tolerance = tolerance
        self._detectors = [EDetector(baseline, tolerance, _NEVER, now=0.0, ordered=ordered) for _ in range(streams)]
        self._test = self._detectors[0].test
        self._time = 0.0

    def close(self, counts: Counts) -> Floats:
        """Adds a bucket (shape (streams, cells)); log S of each stream."""
        self._time += 1.0
        for detector, bucket in zip(self._detectors, counts, strict=True):
            detector.fold(bucket, self._time)
        take_note([one.dependence for one in self._detectors], [one.held for one in self._detectors])
        starts = [detector.starts() for detector in self._detectors]
        log_e = self._test.log_e(np.concatenate(starts), self._tolerance)
        reached = 0
        for detector, rows in zip(self._detectors, starts, strict=True):
            detector.look(log_e[reached : reached + len(rows)])
            reached += len(rows)
        return np.array([detector.log_s for detector in self._detectors])


def same_as_product(baseline: Counts, tolerance: float, buckets: Counts, ordered: int = 0) -> float:
    """Largest difference in log S from detectors closed alone, over buckets of shape (T, streams, cells)."""
    many = ManyStreams(baseline, tolerance, buckets.shape[1], ordered)
    own = [EDetector(baseline, tolerance, _NEVER, now=0.0, ordered=ordered) for _ in range(buckets.shape[1])]
    most = 0.0
    for time, bucket in enumerate(buckets, 1):
        log_s = many.close(bucket)
        for stream, detector in enumerate(own):
            detector.close(bucket[stream], now=float(time))
            most = max(most, abs(detector.log_s - float(log_s[stream])))
    return most
