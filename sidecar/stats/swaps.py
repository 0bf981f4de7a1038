"""Columns that changed places: whose values came where another's should be, seen from all moved columns at once.

Keeps: reciprocity. A column is the source of another only within a ring in which each holds the next one's values,
all about equally often: two columns for a swap, more where a feed lost or gained a column.
Does not: say that a column moved, nor weigh a swap against other faults (naming does, with the sources as candidates).
Called by: `swapped`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.reports import Cause
from sidecar.stats.acceptance import EXPLAINED, Candidate, explained_by, fitted, scale_of
from sidecar.stats.mixture_fit import LiveCounts, deviance

Floats = NDArray[np.float64]

MOST_COLUMNS = 32
_SHARE_APART = 0.15
_LIKE_THE_OTHER = 0.05


@dataclass(frozen=True, slots=True)
class MovedColumn:
    """A moved numeric column: training's equal-mass atoms (of `trained_rows`), live cells, effective tolerance."""

    atoms: Floats
    live: LiveCounts
    trained_rows: int
    tolerance: float


def sources(columns: Mapping[str, MovedColumn]) -> dict[str, str]:
    """For each column of a ring, the one whose values it holds. The first 32 columns are looked at.

    >>> from sidecar.stats.mixture_fit import live_counts
    >>> low, high = np.linspace(0.0, 1.0, 512), np.linspace(50.0, 90.0, 512)
    >>> moved = lambda atoms, live: MovedColumn(atoms, live_counts(live, np.ones(512), 0), 5_000, 0.005)
    >>> sources({"a": moved(low, high), "b": moved(high, low)})
    {'a': 'b', 'b': 'a'}
    """
    names = list(columns)[:MOST_COLUMNS]
    fits: dict[str, dict[str, float]] = {name: {} for name in names}
    for name in names:
        fits[name] = _sources_of(name, names, columns)
    rings: dict[str, str] = {}
    for name in names:
        if name not in rings:
            rings |= _ring(name, fits)
    return rings


def _sources_of(name: str, names: list[str], columns: Mapping[str, MovedColumn]) -> dict[str, float]:
    """Columns whose training explains this one's live values, the best first, with the share of rows."""
    column = columns[name]
    others = [other for other in names if other != name and not _alike(column.atoms, columns[other].atoms)]
    if not others:
        return {}
    observed, unchanged = column.live.observed(), column.live.masses(column.atoms[None, :])[0]
    masses = column.live.masses(np.asarray([columns[other].atoms for other in others]))
    candidates = [
        Candidate(mass, 0.0, Cause(kind="swap", says=other)) for mass, other in zip(masses, others, strict=True)
    ]
    scale = scale_of(observed, column.trained_rows, column.tolerance)
    identity = float(deviance(observed, unchanged[None, :])[0])
    ranked = sorted(fitted(candidates, observed, unchanged), key=lambda fit: fit.score)
    return {
        fit.candidate.cause.says: fit.share
        for fit in ranked
        if fit.candidate.cause is not None
        and explained_by(fit.deviance, identity, scale) >= EXPLAINED
        and fit.deviance <= scale.residual
    }


def _ring(start: str, fits: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The ring through `start` if there is one: a pair first, else by each column's best source."""
    for other, share in fits[start].items():
        back = fits[other].get(start)
        if back is not None and abs(back - share) <= _SHARE_APART:
            return {start: other, other: start}
    path = [start]
    while len(path) <= len(fits):
        following = next(iter(fits[path[-1]]), None)
        if following is None:
            return {}
        if following == start:
            shares = [fits[name][source] for name, source in zip(path, [*path[1:], start], strict=True)]
            close = max(shares) - min(shares) <= _SHARE_APART
            return dict(zip(path, [*path[1:], start], strict=True)) if close else {}
        if following in path:
            return {}
        path.append(following)
    return {}


def _alike(one: Floats, other: Floats) -> bool:
    """Whether two columns were so alike in training that nobody could see them change places."""
    if one.size != other.size:
        return False
    spread = float(np.subtract(*np.quantile(one, [0.75, 0.25])))
    return float(np.median(np.abs(one - other))) <= _LIKE_THE_OTHER * spread
