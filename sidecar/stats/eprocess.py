"""The tolerant count e-process of one column: evidence that live rows left a ball around its baseline.

Keeps: what `tolerant_tests` keeps, bit for bit: this is its form for a single column.
Does not: decide about alarms, keep history, or repair rows that depend on each other.
Called by: the e-detector, the drift observer and the naming of causes.
Source: see `tolerant_tests`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.stats.tolerant_tests import TolerantTests

Floats = NDArray[np.float64]


class TolerantTest:
    """The parts of the e-process that depend on the baseline alone, worked out once (counts of shape (B,)).

    `ordered`: how many of the first cells ascend; `apart`: whether to bet on single cells; `gaps`: a tolerance of
    the last two cells alone; `moves`: where faults would put rows; see `TolerantTests`.
    """

    def __init__(
        self,
        baseline: ArrayLike,
        ordered: int = 0,
        *,
        apart: bool = False,
        gaps: float | None = None,
        moves: ArrayLike | None = None,
    ) -> None:
        self.baseline = np.asarray(baseline, dtype=np.float64)
        self.ordered = ordered
        self._tests = TolerantTests([self.baseline], [ordered], apart=apart, gaps=[gaps], moves=[moves])
        self.cells = self._tests.cells[0]

    def log_e(self, live: ArrayLike, tolerance: float) -> Floats:
        """Natural logarithm of E for each row of live counts (shape (A, B)); 0 for a row without counts."""
        counts = np.asarray(live, dtype=np.float64)
        if counts.ndim != 2:
            raise ValueError(f"live counts are rows of {self.cells} cells, got shape {counts.shape}")
        answer: Floats = self._tests.log_e(counts[None, :, :], tolerance)[0]
        return answer

    def kl_lower(self, live: ArrayLike, alpha: float, floor: float) -> float:
        """See `kl_lower` of this module; `live` has shape (B,)."""
        return float(self._tests.kl_lower(np.asarray(live)[None], alpha, floor)[0])


def kl_estimate(live: ArrayLike, baseline: ArrayLike) -> float:
    """KL(p0||p) in nats as live counts (shape (B,)) show it, less what chance adds; no bound, and may be negative.

    Half a row is added to each cell that the baseline fills, so that it is finite; (B-1)/(2n) is what chance adds.

    >>> round(kl_estimate([900, 100], [500, 500]), 2), kl_estimate([52, 48], [500, 500]) < 0
    (0.51, True)
    """
    counts, rows = np.asarray(live, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    filled = rows > 0
    p0, n, cells = rows[filled] / rows.sum(), float(counts.sum()), int(np.count_nonzero(filled))
    if not n:
        return 0.0
    p = (counts[filled] + 0.5) / (n + 0.5 * cells)
    return float(np.sum(p0 * np.log(p0 / p))) - (cells - 1) / (2.0 * n)


def log_e(live: ArrayLike, baseline: ArrayLike, tolerance: float) -> float:
    """Log of E for live counts against baseline counts (both shape (B,)), null KL(p0||p) <= `tolerance` nats.

    E >= 1/alpha rejects at level alpha, at any time of looking. A cell that the baseline never filled may hold
    up to 1 - exp(-tolerance) of the rows; with tolerance 0 a single row there makes E infinite.

    >>> log_e([52, 48], [500, 500], 0.005) < 0
    True
    >>> log_e([900, 100], [500, 500], 0.005) > 100
    True
    """
    return float(TolerantTest(baseline).log_e(np.asarray(live)[None, :], tolerance)[0])


def log_e_many(live: ArrayLike, baseline: ArrayLike, tolerance: float) -> Floats:
    """`log_e` of several rows of live counts at once: shape (A, B) gives shape (A,).

    >>> log_e_many([[0, 0], [900, 100]], [500, 500], 0.005).shape
    (2,)
    """
    return TolerantTest(baseline).log_e(live, tolerance)


def kl_lower(live: ArrayLike, baseline: ArrayLike, alpha: float = 0.01, tolerance_floor: float = 0.0) -> float:
    """Largest tolerance still rejected at level `alpha`: a lower bound on KL(p0||p) in nats, valid at any time.

    Bounds at or under `tolerance_floor` (for instance the baseline's own error) are reported as 0.0, as is
    "nothing rejected". Twice the bound is comparable to a PSI.

    >>> kl_lower([52, 48], [500, 500])
    0.0
    >>> 0.2 < kl_lower([900, 100], [500, 500]) < 0.51
    True
    """
    return TolerantTest(baseline).kl_lower(live, alpha, tolerance_floor)
