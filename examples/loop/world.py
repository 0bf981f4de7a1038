"""Made-up card payments whose frauds change their habit one day: the inputs look as before, the truth does not.

Keeps: the same generator gives the same payments. Before the turn fraud comes with large amounts far from home, after
it with small ones, fired off one after the other. Nothing in the inputs' distribution tells the two apart, so only
outcomes can. Pure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MODEL = "cards"
FEATURES = ("amount", "distance_km", "payments_last_hour")
Rows = npt.NDArray[np.float32]

_BEFORE = np.array([2.6, 1.7, 0.3])
_AFTER = np.array([-2.2, 0.2, 2.4])


def payments(rng: np.random.Generator, rows: int) -> Rows:
    """`rows` payments, one column per feature, on scales near 0 ± 1 (a feature store did that)."""
    return rng.normal(size=(rows, len(FEATURES))).astype(np.float32)


def frauds(rng: np.random.Generator, rows: Rows, *, turned: bool) -> npt.NDArray[np.int64]:
    """1 where a payment turns out to be fraud; partly chance, so that no model is always right."""
    weights = _AFTER if turned else _BEFORE
    probability = 1.0 / (1.0 + np.exp(-(rows.astype(np.float64) @ weights)))
    return np.asarray(rng.random(len(rows)) < probability, dtype=np.int64)
