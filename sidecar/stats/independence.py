"""Evidence that belonging to a part depends on the score: copies that were dropped, outcomes that came.

Keeps: E is an e-process against "whether a row is in the part does not depend on its cell", so E >= 1/alpha may be
acted on at any look; counts only, so replicas add. Cells ascend with the score.
Does not: say how: the shares by cell do. Called by: completeness and the arrival of outcomes.
Source: universal inference (Wasserman, Ramdas & Balakrishnan 2020): mixtures of rates that differ by cell, divided by
the best single rate. The mixture bets half on two rates that change at one cell, at any of them, and half on four
rates in groups of neighbouring cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

_GROUPS = 4


def log_e_dependent(part: Sequence[int], rest: Sequence[int]) -> float:
    """Log of E; `part` and `rest` count rows by cell (shape (B,)), the row belonging to one of the two.

    >>> log_e_dependent([5, 5, 5, 5], [500, 500, 500, 500]) < 0.0
    True
    >>> log_e_dependent([0, 0, 5, 40], [500, 500, 500, 500]) > 5.0
    True
    """
    inside, outside = (np.asarray(counts, dtype=np.float64) for counts in (part, rest))
    if inside.shape != outside.shape or inside.ndim != 1 or (inside < 0).any() or (outside < 0).any():
        raise ValueError("part and rest are counts of the same cells, none negative")
    hits, misses = float(inside.sum()), float(outside.sum())
    if inside.size < 2 or not hits or not misses:
        return 0.0
    n = hits + misses
    best = float(xlogy(hits, hits / n) + xlogy(misses, misses / n))
    below = np.cumsum(inside)[:-1], np.cumsum(outside)[:-1]
    two = _mixed(*below) + _mixed(hits - below[0], misses - below[1])
    stepped = _log_mean(two)
    return float(np.logaddexp(stepped, _grouped(inside, outside)) - math.log(2.0)) - best


def _mixed(hits: NDArray[np.float64], misses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihood of a rate, averaged over Beta(1/2, 1/2)."""
    mixed: NDArray[np.float64] = betaln(0.5 + hits, 0.5 + misses) - betaln(0.5, 0.5)
    return mixed


def _grouped(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """The groups are borders of cells that are fixed beforehand: as many cells each."""
    edges = np.linspace(0, inside.size, min(_GROUPS, inside.size) + 1).astype(np.int64)[:-1]
    return float(_mixed(np.add.reduceat(inside, edges), np.add.reduceat(outside, edges)).sum())


def _log_mean(logs: NDArray[np.float64]) -> float:
    peak = float(logs.max())
    return peak + math.log(float(np.exp(logs - peak).mean()))
