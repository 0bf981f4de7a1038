"""Fits "a share w of the rows underwent this change" to live counts, for many changes at once.

Keeps: values are compared on the lattice of the live log histogram, so a value repeated exactly (a round number, an
integer, a filler) meets its own cell and a multiplication that ends one bit too low still does.
Does not: know what the changes mean.
Called by: naming. Source: mixture likelihood, concave in w, solved by bisection of its derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]
Keys = NDArray[np.int64]

MOST_CELLS = 32
_ROWS_A_CELL = 10
_MANTISSA_SHIFT = 46
_HALVINGS = 40
_SMOOTHING = 0.05


def lattice_key(values: Floats, coarsening: int = 0) -> Keys:
    """Ordered number of the log-histogram cell of each finite value: sign, exponent, top 6 - coarsening bits.

    >>> lattice_key(np.array([-1.0, 0.0, 1.0, 1.01, 2.0])).tolist()
    [-65473, 0, 65473, 65473, 65537]
    """
    bits = np.abs(values).view(np.int64) >> (_MANTISSA_SHIFT + coarsening)
    keys: Keys = np.where(values == 0.0, 0, np.where(values < 0.0, -bits - 1, bits + 1))
    return keys


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Live rows on the lattice: ascending `values` with `counts` and `keys`, and the upper `edges` of the cells."""

    values: Floats
    counts: Floats
    keys: Keys
    edges: Keys
    coarsening: int

    @property
    def n(self) -> float:
        """Rows."""
        return float(self.counts.sum())

    @property
    def cells(self) -> int:
        """Evaluation cells."""
        return self.edges.size + 1

    def quantile(self, share: Floats) -> Floats:
        """Values under which these shares of the rows lie."""
        reached = (np.cumsum(self.counts) - 0.5 * self.counts) / self.n
        values: Floats = np.interp(share, reached, self.values)
        return values

    def quantile_at(self, share: Floats) -> Floats:
        """The values that stand there, none between two of them."""
        place = np.searchsorted(np.cumsum(self.counts) / self.n, share).clip(max=self.values.size - 1)
        values: Floats = self.values[place]
        return values

    def observed(self) -> Floats:
        """Rows in each evaluation cell."""
        cell = np.searchsorted(self.edges, self.keys, side="left")
        return np.bincount(cell, weights=self.counts, minlength=self.cells).astype(np.float64)

    def cell_of(self, values: Floats) -> Keys:
        """The evaluation cell of each finite value."""
        cells: Keys = np.searchsorted(self.edges, lattice_key(values, self.coarsening), side="left")
        return cells

    def masses(self, atoms: Floats) -> Floats:
        """Share of equal-mass atoms in each cell, smoothed (shape (C, J) gives (C, cells))."""
        return smoothed(self.shares(atoms), atoms.shape[1])

    def shares(self, atoms: Floats) -> Floats:
        """Share of equal-mass atoms in each cell, as it is."""
        # One part in 10^9 outwards: a product one bit under a round number still reaches its cell.
        keys = lattice_key(np.nan_to_num(atoms * (1.0 + 1e-9)), self.coarsening)
        cell = np.searchsorted(self.edges, keys, side="left") + self.cells * np.arange(len(atoms))[:, None]
        found = np.bincount(cell.ravel(), minlength=self.cells * len(atoms)).reshape(-1, self.cells)
        shares: Floats = found / atoms.shape[1]
        return shares

    def mass_of_key(self, key: int) -> Floats:
        """All mass in the cell of one lattice key, smoothed like `masses`."""
        mass = np.full(self.cells, 1e-4 / self.cells)
        mass[int(np.searchsorted(self.edges, key, side="left"))] += 1.0 - 1e-4
        return mass


def smoothed(shares: Floats, rows: int) -> Floats:
    """Shares of so many rows in cells (shape (..., cells)), none of them zero."""
    masses: Floats = (rows * shares + _SMOOTHING) / (rows + _SMOOTHING * shares.shape[-1])
    return masses


def live_counts(values: Floats, counts: Floats, coarsening: int) -> LiveCounts:
    """Sorts live rows (finite values, positive counts) and lays about 32 cells of equal live mass over them.

    A lattice key that alone holds a cell's worth of rows gets a cell of its own, with nothing beside it.
    """
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    keys = lattice_key(values, coarsening)
    distinct, start = np.unique(keys, return_index=True)
    at_key = np.add.reduceat(counts, start)
    n = float(counts.sum())
    cells = max(4, min(MOST_CELLS, int(n // _ROWS_A_CELL)))
    worth, held, edges = n / cells, 0.0, list[int]()
    alone = at_key >= worth
    if np.any(alone):
        # The rest is divided anew, so that a column of zeros, mostly, shows what its other values do.
        worth = max(float(at_key[~alone].sum()) / max(cells - int(alone.sum()), 1), float(_ROWS_A_CELL))
    for key, rows in zip(distinct.tolist(), at_key.tolist(), strict=True):
        held += rows
        if rows >= worth:
            edges += [key - 1, key]
            held = 0.0
        elif held >= worth:
            edges.append(key)
            held = 0.0
    return LiveCounts(values, counts, keys, np.unique(np.asarray(edges, dtype=np.int64)), coarsening)


def fit_shares(observed: Floats, before: Floats, after: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Best share w of each change and its deviance: max over w of sum n ln((1-w) before + w after).

    Args:
        observed: rows in each cell, shape (cells,).
        before: unchanged cell masses, shape (cells,), all above zero.
        after: changed cell masses, C of shape (cells,).

    Returns:
        (shares, deviances), both of shape (C,); deviance is twice the log-likelihood lost to a perfect fit.
    """
    step = np.asarray(after) - before
    low, high = np.zeros(len(step)), np.ones(len(step))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        slope = (step / (before + middle[:, None] * step)) @ observed
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    share = np.where(low == 0.0, 0.0, np.where(high == 1.0, 1.0, 0.5 * (low + high)))
    return share, deviance(observed, before + share[:, None] * step)


def deviance(observed: Floats, masses: Floats) -> Floats:
    """Twice the log-likelihood that cell `masses` (shape (C, cells)) lose to the observed shares."""
    share = observed / observed.sum()
    lost: Floats = 2.0 * (xlogy(observed, share) - observed * np.log(masses)).sum(axis=1)
    return lost
