"""A share of the rows underwent a known fault: what units, scalers and functions would make of training's cells.

Keeps: each bet is one distribution over a column's cells, fixed by the baseline alone, so betting on it is as honest
as any bet. What lies far from training is loud whatever one bets on; so the bets are on the faults that move cells
least, no two of them alike: a third of the rows in miles instead of kilometres is then found with half of the rows.
Does not: name a fault (`naming` does, under an alarm), nor bet on what lands beyond the ruler (`apart` does).
Called by: `tolerant_tests`, a watched column. Source: as that of `tilts`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.stats.catalogue import Figures, transforms_for

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Moves = NDArray[np.uint16]

# Halves of one: between two of them little is lost. Never all rows, so that no cell is thought impossible.
SHARES: Floats = np.array([0.95, 0.5, 0.25, 0.125])
MOST = 12
_ALIKE = 0.1
_SEEN, _BEYOND = 0.05, 0.9


def fault_moves(quantiles: ArrayLike, borders: ArrayLike, figures: Figures | None = None) -> Moves:
    """Where a column's equal-mass atoms would lie after each fault: rows of atoms in each cell, shape (K, cells).

    Args:
        quantiles: the baseline's atoms; fewer than 65,536.
        borders: between the ascending cells (shape (cells - 1,)); a value at a border lies above it.
        figures: what a scaler takes from training.

    >>> fault_moves([1.0, 2.0, 4.0, 8.0], [1.5, 3.0, 6.0]).shape[1]
    4
    """
    atoms, edges = np.sort(np.asarray(quantiles, dtype=np.float64)), np.asarray(borders, dtype=np.float64)
    if not atoms.size:
        return np.zeros((0, edges.size + 1), dtype=np.uint16)
    before = _counted(atoms, edges)
    with np.errstate(all="ignore"):
        made = [transform.apply(atoms) for transform in transforms_for(atoms, figures)]
    found = [_counted(one[np.isfinite(one)], edges) for one in made if np.isfinite(one).any()]
    found = [one for one in found if one[0] + one[-1] < _BEYOND and _apart(one, before) >= _SEEN]
    chosen: list[Floats] = []
    for one in sorted(found, key=lambda shares: _apart(shares, before)):
        if len(chosen) < MOST and all(_apart(one, other) >= _ALIKE for other in chosen):
            chosen.append(one)
    return np.round(atoms.size * np.array(chosen).reshape(len(chosen), edges.size + 1)).astype(np.uint16)


def _counted(values: Floats, edges: Floats) -> Floats:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1) / values.size


def _apart(one: Floats, other: Floats) -> float:
    """The share of rows that lie elsewhere."""
    return 0.5 * float(np.abs(one - other).sum())


class FaultBets:
    """The bets of several columns: `moves` as `fault_moves` gives them (None or empty: none), `priors` of shape (B_k,).

    >>> bets = FaultBets([np.array([[0, 512]])], [np.array([0.5, 0.5])])
    >>> sure = bets.log_ratio(np.array([[0.0], [10.0]]), np.array([0]))
    >>> bool(abs(sure[0] - np.log(np.mean((1 + SHARES) ** 10))) < 1e-9)
    True
    """

    def __init__(self, moves: Sequence[ArrayLike | None], priors: Sequence[Floats]) -> None:
        # As they were given: they are seldom asked for, so only those are padded that are.
        self._moves = [np.asarray(one if one is not None else np.zeros((0, 0)), dtype=np.uint16) for one in moves]
        self._sizes = np.array([len(one) for one in self._moves], dtype=np.int64)
        cells = max((one.shape[1] for one in self._moves if one.size), default=0)
        self._prior = np.ones((cells, len(self._moves)))
        self._ordered = np.zeros(len(self._moves))
        for column, (one, prior) in enumerate(zip(self._moves, priors, strict=True)):
            if not one.size:
                continue
            if one.shape[1] > prior.size or not np.all(one.sum(axis=1) > 0):
                raise ValueError("a move says of a column's first cells where all rows would be")
            self._prior[: one.shape[1], column] = prior[: one.shape[1]]
            self._ordered[column] = prior[: one.shape[1]].sum()

    @property
    def some(self) -> NDArray[np.bool_]:
        """Which columns have bets."""
        return self._sizes > 0

    def log_ratio(self, counts: Floats, column: Indices) -> Floats:
        """Log of the mean likelihood of all bets over that of the baseline, for rows of counts.

        `counts` (shape (B, M)) with the column of each (shape (M,)), all of columns that have bets.
        """
        columns, place = np.unique(column, return_inverse=True)
        moves, prior = self._padded(columns), self._prior[:, columns]
        there = moves.sum(axis=0)
        # The other cells keep their share, so what moved is a share of the ordered ones.
        ratio = moves / np.maximum(there, 1.0) * (self._ordered[columns] / prior)[:, None, :]
        logs = np.zeros((SHARES.size, ratio.shape[1], column.size))
        for number, share in enumerate(SHARES):
            for row, changed in zip(counts, np.log1p(share * (ratio - 1.0)), strict=False):  # the rest is padding
                logs[number] += row * changed[:, place]
        logs = np.where(there[:, place] > 0.0, logs, -np.inf).reshape(-1, column.size)
        peak = logs.max(axis=0)
        mean = np.zeros(column.size)
        for one in logs:
            mean += np.exp(one - peak)
        found: Floats = peak + np.log(mean / (SHARES.size * self._sizes[column]))
        return found

    def _padded(self, columns: Indices) -> Floats:
        """Moves of some columns, shape (cells, most moves, columns)."""
        table = np.zeros((len(self._prior), int(self._sizes[columns].max()), columns.size))
        for place, column in enumerate(columns.tolist()):
            one = self._moves[column]
            table[: one.shape[1], : len(one), place] = one.T
        return table
