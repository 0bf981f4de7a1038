"""Population stability index of two count vectors, and the noise it shows when nothing has changed.

Keeps: the value depends on the counts alone, is finite, and no filler constant for empty cells decides it.
Does not: test or alarm (the e-process does); PSI is shown because people know it.
Called by: the drift observer and the prediction gate.
Source: Yurdakul & Naranjo 2020, "Statistical properties of the population stability index".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri


@dataclass(frozen=True, slots=True)
class Noise:
    """Law of PSI without any change: `scale * chi2(degrees)`.

    `mean` and `sd` are of the PSI itself; `scale` is 1/n + 1/m.
    """

    mean: float
    sd: float
    scale: float
    degrees: int

    def critical(self, quantile: float) -> float:
        """Value that PSI stays under with probability `quantile` when nothing has changed.

        >>> round(psi_noise(1_000, 10_000, 20).critical(0.99), 3)
        0.04
        """
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, not {quantile}")
        return self.scale * float(chdtri(self.degrees, 1.0 - quantile))


def psi(baseline: ArrayLike, live: ArrayLike) -> float:
    """PSI in nats, `sum (q - p) ln(q / p)`, of two count vectors of the same cells (shape (B,)).

    Both sides are smoothed by half a count in every cell, `(count + 1/2) / (total + B/2)` (Jeffreys' prior),
    so an empty cell counts for what half a row would: its weight falls as the rows grow. Without rows on
    either side nothing can be said, and the answer is 0.

    >>> psi([50, 50], [50, 50])
    0.0
    >>> round(psi([500, 500], [600, 400]), 3)
    0.04
    """
    trained, lived = _counts(baseline), _counts(live)
    if trained.shape != lived.shape:
        raise ValueError(f"baseline has {trained.size} cells and live has {lived.size}")
    if trained.sum() == 0 or lived.sum() == 0:
        return 0.0
    p = (trained + 0.5) / (trained.sum() + trained.size / 2)
    q = (lived + 0.5) / (lived.sum() + lived.size / 2)
    return max(0.0, float(np.sum((q - p) * np.log(q / p))))


def psi_noise(live_n: int, baseline_n: int, cells: int) -> Noise:
    """Noise of PSI for `live_n` and `baseline_n` rows in `cells` cells: `(1/n + 1/m) chi2_{B-1}`.

    >>> psi_noise(1_000, 1_000, 11).mean
    0.02
    """
    if live_n < 1 or baseline_n < 1 or cells < 2:
        raise ValueError("noise needs a row on either side and two cells")
    scale, degrees = 1.0 / live_n + 1.0 / baseline_n, cells - 1
    return Noise(mean=degrees * scale, sd=math.sqrt(2.0 * degrees) * scale, scale=scale, degrees=degrees)


def _counts(values: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(values, dtype=np.float64)
    if counts.ndim != 1 or counts.size < 1:
        raise ValueError("counts are one non-empty row of numbers")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise ValueError("counts are finite and not negative")
    return counts
