"""Which of many features moved now: the e-value form of Benjamini and Hochberg.

Keeps: of the features it names, on average at most the share q have not moved, however the features depend on each
other. That holds for e-values of one moment, never for their running maxima (Tavyrikov, Goeman & de Heide 2025).
Does not: alarm or latch; the e-detector's threshold does.
Called by: the drift observer, for the list "which features now".
Source: Wang & Ramdas 2022, "False discovery rate control with e-values".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def e_bh(e_values: ArrayLike, q: float = 0.05) -> tuple[int, ...]:
    """Places of the e-values (shape (K,)) that are rejected, the largest first; infinite ones are allowed.

    The largest k for which the k-th largest is at least K/(k q). ValueError for a negative or undefined e-value.

    >>> e_bh([3.0, 90.0, 55.0, 0.2])
    (1, 2)
    >>> e_bh([3.0, 79.0, 30.0, 0.2])
    ()
    """
    values = np.asarray(e_values, dtype=np.float64)
    if values.ndim != 1 or not np.all(values >= 0):
        raise ValueError("e-values are one row of numbers, none negative")
    if not 0.0 < q < 1.0:
        raise ValueError(f"a share of false discoveries lies between 0 and 1, not {q}")
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, values.size + 1)
    enough = np.flatnonzero(values[order] * ranks * q >= values.size)
    return tuple(order[: enough[-1] + 1].tolist()) if enough.size else ()
