"""The e-detectors of many columns, closed together: one sweep of evidence for a whole deployment's bucket.

Keeps: after a close, each detector is bit for bit as if it had been closed alone, whatever columns stand beside it.
Does not: own the detectors; each may be reset, restored and asked by itself at any time.
Called by: the drift observer, once a bucket.
Source: see `edetector` and `tolerant_tests`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sidecar.stats.edetector import MOST_STARTS, EDetector
from sidecar.stats.overdispersion import take_note
from sidecar.stats.tolerant_tests import TolerantTests


class EDetectors:
    """Closes the bucket of many detectors at once.

    >>> one, other = EDetector([500, 500], 0.005, 100.0, now=0.0), EDetector([1, 2, 3], 0.01, 100.0, now=0.0)
    >>> EDetectors([one, other]).close([[190, 10], [10, 20, 30]], now=60.0)
    >>> one.alarm, other.alarm
    (True, False)
    """

    def __init__(self, detectors: Sequence[EDetector]) -> None:
        self._detectors = tuple(detectors)
        self.tests = TolerantTests(
            [detector.baseline for detector in self._detectors],
            [detector.ordered for detector in self._detectors],
            apart=True,
            gaps=[detector.gaps for detector in self._detectors],
            moves=[detector.moves for detector in self._detectors],
        )
        self._tolerances = np.asarray([detector.tolerance for detector in self._detectors], dtype=np.float64)

    def close(self, buckets: Sequence[ArrayLike], now: float, started_at: float | None = None) -> None:
        """Folds the bucket that ends at `now` (integer counts of shape (B_k,) a column) and looks; see `EDetector`.

        ValueError, and nothing folded, where a bucket's counts are none of its column.
        """
        whole = [detector.whole(counts) for detector, counts in zip(self._detectors, buckets, strict=True)]
        spoken = [
            (index, detector)
            for index, (detector, counts) in enumerate(zip(self._detectors, whole, strict=True))
            if detector.fold(counts, now, started_at)
        ]
        take_note([detector.dependence for _, detector in spoken], [detector.held for _, detector in spoken])
        live = np.zeros((len(whole), MOST_STARTS, self.tests.width))
        weighed = []
        for index, detector in spoken:
            starts = detector.starts()
            live[index, : starts.shape[0], : starts.shape[1]] = starts
            weighed.append(starts.shape[0])
        log_e = self.tests.log_e(live, self._tolerances)
        for (index, detector), starts_given in zip(spoken, weighed, strict=True):
            detector.look(log_e[index, :starts_given])
