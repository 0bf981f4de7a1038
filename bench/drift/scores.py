"""Small sums for the experiments: AUROC, thresholds for a rate, Poisson and binomial bounds. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, chi2, rankdata

Floats = NDArray[np.float64]


def auroc(scores: Sequence[float] | Floats, harmful: Sequence[bool] | NDArray[np.bool_]) -> float | None:
    """Chance that a harmful period's score is above a harmless one's, ties counting half; None without both.

    >>> auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
    0.875
    """
    found, labels = np.asarray(scores, dtype=np.float64), np.asarray(harmful, dtype=bool)
    positive, negative = int(labels.sum()), int((~labels).sum())
    if not positive or not negative:
        return None
    above = float(rankdata(found)[labels].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def rate_bound(alarms: int, exposure: float) -> float:
    """Upper 95 % bound on alarms per unit of exposure (Garwood's, Poisson).

    >>> round(rate_bound(0, 100.0), 4)
    0.03
    """
    return float(chi2.ppf(0.95, 2 * alarms + 2)) / 2.0 / exposure


def share_bound(hits: int, trials: int) -> float:
    """Upper 95 % bound on a share (Clopper-Pearson)."""
    return 1.0 if hits >= trials else float(beta.ppf(0.95, hits + 1, trials - hits))


def window_threshold(null: Floats, rate: float) -> float:
    """The least value that at most a share `rate` of windows without change reaches.

    >>> window_threshold(np.arange(100.0), 0.05)
    95.0
    """
    ascending = np.sort(null)
    allowed = math.floor(rate * null.size)
    if not allowed:
        return math.nextafter(float(ascending[-1]), math.inf)
    # Where ties reach over the limit, only what lies above them is left.
    value = float(ascending[-allowed])
    if np.count_nonzero(ascending >= value) <= allowed:
        return value
    return math.nextafter(value, math.inf)


def windows_to_alarm(power: float) -> float:
    """Median number of windows until one with this chance each alarms.

    >>> windows_to_alarm(0.5), windows_to_alarm(0.3), windows_to_alarm(0.0)
    (1.0, 2.0, inf)
    """
    if power <= 0.0:
        return math.inf
    return 1.0 if power >= 0.5 else float(math.ceil(math.log(0.5) / math.log1p(-power)))


def area_under_curve(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """AUROC of a model's scores; one half where there is only one class."""
    found = auroc(scores, truth)
    return 0.5 if found is None else found
