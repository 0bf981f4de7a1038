"""Why did a numeric feature move? Fits the catalogue of named faults to live counts and names one, or abstains.

Keeps: silence over a wrong name, by the rules of `acceptance`; a sentence holds no value of a row, such stand in
`Cause.value`.
Does not: test whether there is drift at all (call it only under an alarm), nor confirm a cause by re-scoring.
Called by: `feature_cause` and `swaps`. Source: fits of changes by likelihood after Data Diff (Sutton et al., KDD
2018), with a share of switched rows, functions, scalers, and other columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.reports import Cause
from sidecar.stats.acceptance import NEARLY_ALL, Fit, Scale, accepted, fitted, scale_of
from sidecar.stats.catalogue import Figures
from sidecar.stats.mixture_fit import LiveCounts, deviance, live_counts
from sidecar.stats.numeric_candidates import candidates_for, is_small

Floats = NDArray[np.float64]

FEWEST_ROWS = 50
TOLERANCE = 0.005
_LEAST_PART = 0.05
_ROWS_FOR_A_PART = 300
_ROWS_FOR_ANY_FACTOR = 1_000  # ages, prices and terms of employment grow by some small factor or other in ten years
_TIGHT = 1.4  # nearly two standard deviations above the noise of 32 cells; true faults leave 0.6 to 1.2


def name_cause(
    quantiles: ArrayLike,
    values: ArrayLike,
    counts: ArrayLike,
    *,
    coarsening: int = 0,
    frequent: Sequence[float] | None = None,
    figures: Figures | None = None,
    tolerance: float = TOLERANCE,
    others: Mapping[str, Floats] | None = None,
) -> Cause | None:
    """Names the cause of a drift already established, from counts alone.

    Args:
        quantiles: equal-mass atoms of the baseline, 8 or more (a baseline holds 512).
        values: representative values of the live log histogram's cells, shape (C,); infinities are left out.
        counts: live rows in each cell, shape (C,).
        coarsening: mantissa bits which that histogram gave up.
        frequent: exact values seen often, the only ones that can be a constant; None where that is not known.
        figures: the baseline's mean, deviation, range and rows; from the quantiles where they are not given.
        tolerance: effective one of the column, in nats: what a name may leave unexplained.
        others: atoms of other columns whose values may have come in this one's place (only reciprocal ones).

    Returns:
        None with fewer than 50 live rows; a cause of kind `unexplained` when nothing named fits well enough.

    >>> trained = np.exp(np.random.default_rng(1).normal(4.0, 1.0, 5_000))
    >>> live = np.exp(np.random.default_rng(2).normal(4.0, 1.0, 1_000)) / 100
    >>> atoms = np.quantile(trained, (np.arange(512) + 0.5) / 512)
    >>> name_cause(atoms, live, np.ones(1_000)).says
    'live = 0.01 × trained (as when cents become euros)'
    """
    trained, live = trained_atoms(quantiles), live_rows(values, counts, coarsening)
    if live is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is far from every live row, as it should be
        known = figures or Figures.of_quantiles(trained)
        observed, unchanged = live.observed(), live.masses(trained[None, :])[0]
        fits = fitted(candidates_for(trained, known, live, unchanged, frequent, others or {}), observed, unchanged)
        scale = scale_of(observed, known.rows, tolerance)
        identity = float(deviance(observed, unchanged[None, :])[0])
        return accepted(fits, identity, scale, lambda fit: _credible(fit, scale, trained))


def trained_atoms(quantiles: ArrayLike) -> Floats:
    """The baseline's quantiles, ascending; ValueError where they are too few or not finite."""
    trained = np.sort(np.asarray(quantiles, dtype=np.float64))
    if trained.ndim != 1 or trained.size < 8 or not np.all(np.isfinite(trained)):
        raise ValueError("naming needs at least 8 finite baseline quantiles")
    return trained


def live_rows(values: ArrayLike, counts: ArrayLike, coarsening: int) -> LiveCounts | None:
    """Live rows in evaluation cells; None where there are fewer than 50. ValueError where the two do not fit."""
    points, rows = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if points.ndim != 1 or points.shape != rows.shape or np.any(rows < 0):
        raise ValueError("live values and live counts are two rows of one length, no count negative")
    kept = np.isfinite(points) & (rows > 0)
    if rows[kept].sum() < FEWEST_ROWS:
        return None
    return live_counts(points[kept], rows[kept], coarsening)


def _credible(fit: Fit, scale: Scale, trained: Floats) -> bool:
    """What the world may do by itself must leave noise alone, and in part of the rows it must be many of them."""
    if fit.candidate.cause is None or fit.candidate.atoms is None:
        return True
    if fit.candidate.general and fit.share < NEARLY_ALL and scale.n < _ROWS_FOR_A_PART:
        return False  # some factor goes through any thirty values that lie close together
    if not is_small(fit.candidate.cause, trained, fit.candidate.atoms):
        return True
    if fit.deviance > _TIGHT * scale.noise:
        return False
    if fit.candidate.general and scale.n < _ROWS_FOR_ANY_FACTOR:
        return False
    return fit.share >= NEARLY_ALL or (fit.share >= _LEAST_PART and scale.n >= _ROWS_FOR_A_PART)
