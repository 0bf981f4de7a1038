"""Why did a numeric feature move? Fits the catalogue of named faults to live counts and names one, or abstains.

Keeps: silence over a wrong name. A name must explain 90 % of the departure, leave only noise, and beat every rival
of another meaning, among them ordinary drift (shifts and spreads that a market or a season could make).
Does not: test whether there is drift at all (call it only under an alarm), nor confirm a cause by re-scoring.
Called by: the drift observer. Source: fits of changes by likelihood after Data Diff (Sutton et al., KDD 2018), with
a mixture share; swaps, functions and scalers are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.reports import Cause
from sidecar.stats.catalogue import SCALES, Transform, transforms_for
from sidecar.stats.mixture_fit import LiveCounts, deviance, fit_shares, lattice_key, live_counts

Floats = NDArray[np.float64]

_FEWEST_ROWS = 50
_EXPLAINED = 0.90
_WORTH_TELLING = 0.05
_RESIDUAL_KL = 0.002
_RESIDUAL_SHARE = 0.01
_NEARLY_ALL = 0.95
_RARE_PENALTY = 4.0
_FILLERS = (0.0, -1.0, 1.0, 99.0, -99.0, 999.0, -999.0, 9999.0, -9999.0, 99999.0, -99999.0)
_MIDDLE_HALF: Floats = np.linspace(0.25, 0.75, 21)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Something that may have happened. `name` None: ordinary drift; a number: constant fill with that value."""

    masses: Floats
    penalty: float
    name: Transform | float | None


@dataclass(frozen=True, slots=True)
class _Fit:
    name: Transform | float | None
    share: float
    deviance: float
    score: float


def name_cause(
    quantiles: ArrayLike,
    values: ArrayLike,
    counts: ArrayLike,
    *,
    coarsening: int = 0,
    frequent: Sequence[float] = (),
) -> Cause | None:
    """Names the cause of a drift already established, from counts alone.

    Args:
        quantiles: equal-mass atoms of the baseline, 8 or more (a baseline holds 512).
        values: representative values of the live log histogram's cells, shape (C,); infinities are left out.
        counts: live rows in each cell, shape (C,).
        coarsening: mantissa bits which that histogram gave up.
        frequent: exact values seen often; a constant is reported as one of them where it can be.

    Returns:
        None with fewer than 50 live rows; a cause of kind `unexplained` when nothing named fits well enough.

    >>> trained = np.exp(np.random.default_rng(1).normal(4.0, 1.0, 5_000))
    >>> live = np.exp(np.random.default_rng(2).normal(4.0, 1.0, 1_000)) / 100
    >>> atoms = np.quantile(trained, (np.arange(512) + 0.5) / 512)
    >>> name_cause(atoms, live, np.ones(1_000)).says
    'live = 0.01 × trained (as when cents become euros)'
    """
    trained = np.sort(np.asarray(quantiles, dtype=np.float64))
    points, rows = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if trained.ndim != 1 or trained.size < 8 or not np.all(np.isfinite(trained)):
        raise ValueError("naming needs at least 8 finite baseline quantiles")
    if points.ndim != 1 or points.shape != rows.shape or np.any(rows < 0):
        raise ValueError("live values and live counts are two rows of one length, no count negative")
    kept = np.isfinite(points) & (rows > 0)
    if rows[kept].sum() < _FEWEST_ROWS:
        return None
    live = live_counts(points[kept], rows[kept], coarsening)
    observed, unchanged = live.observed(), live.masses(trained[None, :])[0]
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is far from every live row, as it should be
        candidates = [*_transforms(trained, live), *_constants(trained, live, frequent), *_ordinary(trained, live)]
    shares, deviances = fit_shares(observed, unchanged, [candidate.masses for candidate in candidates])
    fits = [
        _Fit(candidate.name, float(share), float(lost), float(lost) + candidate.penalty)
        for candidate, share, lost in zip(candidates, shares, deviances, strict=True)
    ]
    return _judge(fits, float(deviance(observed, unchanged[None, :])[0]), live)


def _judge(fits: list[_Fit], identity: float, live: LiveCounts) -> Cause:
    """The best named fit, if it explains nearly all, leaves only noise, and nothing else comes near."""
    named = sorted((fit for fit in fits if fit.name is not None), key=lambda fit: fit.score)
    best, noise, log_n = named[0], float(live.cells - 1), math.log(live.n)
    moved = identity - noise
    explained = 1.0 - max(best.deviance - noise, 0.0) / moved if moved > 0 else 0.0
    rivals = [fit.score for fit in fits if not _same_meaning(fit.name, best.name)]
    if (
        moved >= 4.0 * log_n
        and explained >= _EXPLAINED
        and best.deviance <= max(2.5 * noise, 2.0 * live.n * _RESIDUAL_KL, _RESIDUAL_SHARE * moved)
        and min([*rivals, identity]) - best.score >= 2.0 * log_n
        and _credible(best, live.n)
    ):
        return _cause(best, explained)
    # A guess that a handful of rows would do for is no help to a reader.
    guesses = " or ".join(_says(fit) for fit in named[:2] if fit.share >= _WORTH_TELLING)
    nearest = f"; the nearest: {guesses}" if guesses else ""
    return Cause(kind="unexplained", says=f"no known fault explains the change{nearest}")


def _same_meaning(one: Transform | float | None, other: Transform | float | None) -> bool:
    """Factors within 6 % (1000 and 1024) and -x against 1-x need no margin: the better score decides."""
    if isinstance(one, Transform) and isinstance(other, Transform):
        if one.kind == other.kind == "scale":
            return abs(math.log(one.factor / other.factor)) <= 0.06
        return one is other or ({one.kind, other.kind} == {"sign", "affine"} and one.factor == other.factor)
    return one is not None and one == other


def _credible(fit: _Fit, n: float) -> bool:
    """Small factors in part of the rows are also what a mixed population looks like: they need more."""
    if not isinstance(fit.name, Transform) or fit.name.kind != "scale" or fit.share >= _NEARLY_ALL:
        return True
    size = abs(math.log(fit.name.factor))
    return not fit.name.rare and size > math.log(2.0) and (size > math.log(9.0) or n >= 500)


def _cause(fit: _Fit, explained: float) -> Cause:
    share, explained = round(fit.share, 4), round(min(explained, 1.0), 4)
    if isinstance(fit.name, Transform):
        return Cause(
            kind=fit.name.kind,
            says=_says(fit),
            share=share,
            explained=explained,
            factor=None if fit.name.kind == "sign" else fit.name.factor,
            offset=fit.name.offset if fit.name.kind == "affine" else None,
        )
    return Cause(kind="constant", says=_says(fit), share=share, explained=explained, value=fit.name)


def _says(fit: _Fit) -> str:
    if isinstance(fit.name, Transform):
        return fit.name.says + (f", in about {fit.share:.0%} of the rows" if fit.share < _NEARLY_ALL else "")
    return f"about {fit.share:.0%} of the rows hold the one value {fit.name:g}, which training hardly knew"


# --- candidates -------------------------------------------------------------------------------------------------


def _transforms(trained: Floats, live: LiveCounts) -> Iterator[_Candidate]:
    free, error = _free_factor(trained, live)
    listed = [
        transform
        for transform in transforms_for(trained)
        # The world itself may grow by half: a factor between 1/2 and 2 is named only when measured to 5 %.
        if transform.kind != "scale" or not 0.5 < transform.factor < 2.0 or 3.0 * error <= 0.05
    ]
    atoms = np.asarray([transform.factor * trained + transform.offset for transform in listed])
    for transform, masses in zip(listed, live.masses(atoms), strict=True):
        yield _Candidate(masses, _RARE_PENALTY if transform.rare else 0.0, transform)
    if free is None or 0.4 < free < 2.5:
        return
    if any(abs(math.log(scale.factor / free)) <= max(0.01, 3.0 * error) for scale in SCALES):
        return  # it snaps to a unit that is listed already
    story = Transform("scale", float(f"{free:.3g}"), story="no common unit")
    yield _Candidate(live.masses(free * trained[None, :])[0], 2.0 * math.log(live.n), story)


def _free_factor(trained: Floats, live: LiveCounts) -> tuple[float | None, float]:
    """Median ratio of the middle quantiles, for rows that all switched, and its relative standard error."""
    before, after = np.quantile(trained, _MIDDLE_HALF), live.quantile(_MIDDLE_HALF)
    if np.any(before * after <= 0):
        return None, math.inf
    logs = np.log(np.abs(after))
    spread = abs(float(logs[-1] - logs[0])) / 1.349
    return math.exp(float(np.median(logs - np.log(np.abs(before))))), max(1.25 * spread / math.sqrt(live.n), 0.002)


def _constants(trained: Floats, live: LiveCounts, frequent: Sequence[float]) -> Iterator[_Candidate]:
    """Values that hold 5 % of the live rows; new ones (under 1 % of training), or a known filler in half the rows."""
    known = lattice_key(trained, live.coarsening)
    distinct, start = np.unique(live.keys, return_index=True)
    shares = np.add.reduceat(live.counts, start) / live.n
    for index in np.argsort(-shares)[:3]:
        key, share = int(distinct[index]), float(shares[index])
        if share < 0.05:
            return
        inside = [
            value
            for value in (*frequent, *_FILLERS)
            if math.isfinite(value) and int(lattice_key(np.array([value]), live.coarsening)[0]) == key
        ]
        before = float(np.mean(known == key))
        if before < 0.01 or (share >= 0.5 and before < 0.25 and inside and inside[0] in _FILLERS):
            value = inside[0] if inside else float(live.values[start[index]])
            yield _Candidate(live.mass_of_key(key), math.log(live.n), value)


def _ordinary(trained: Floats, live: LiveCounts) -> Iterator[_Candidate]:
    """What a changing world does: the best fitting and some plain shifts and spreads, of values and of their logs."""
    middle, half = float(np.median(trained)), float(np.subtract(*np.quantile(trained, [0.75, 0.25])))
    shifted = [trained + step * half for step in (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)]
    spread = [middle + factor * (trained - middle) for factor in (0.7, 0.85, 1.2, 1.4)]
    atoms = [*shifted, *spread, *_fitted_line(trained, live.quantile(_MIDDLE_HALF), half)]
    if trained[0] > 0 and live.values[0] > 0:
        logs = np.log(trained)
        width = float(np.subtract(*np.quantile(logs, [0.75, 0.25])))
        lines = _fitted_line(logs, np.log(live.quantile(_MIDDLE_HALF)), min(width, 0.4))
        atoms += [np.exp(line) for line in lines]
        atoms += [trained * math.exp(step) for step in (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3)]
    for masses in live.masses(np.asarray(atoms)):
        yield _Candidate(masses, 0.0, None)


def _fitted_line(trained: Floats, live_middle: Floats, reach: float) -> Iterator[Floats]:
    """Trained atoms on the line through the middle-half quantile pairs, if that is an ordinary change."""
    before = np.quantile(trained, _MIDDLE_HALF)
    width = float(before[-1] - before[0])
    if width <= 0:
        return
    factor = float(live_middle[-1] - live_middle[0]) / width
    shift = float(np.median(live_middle) - np.median(before))
    if 1 / 1.55 <= factor <= 1.55 and abs(shift) <= reach:
        yield factor * (trained - float(np.median(before))) + float(np.median(live_middle))
