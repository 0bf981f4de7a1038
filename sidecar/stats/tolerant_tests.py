"""The tolerant count e-process of many columns in one sweep: evidence that live rows left a ball around a baseline.

Keeps: for every distribution with KL(p0||p) <= tolerance, P(any look ever shows E >= 1/alpha) <= alpha; only summed
counts matter, so replicas add and order is free. Rounding never inflates E: the constrained maximum is read from
the dual problem, which bounds it from above at any multiplier. Every sum runs over the cells one after another, so
that a result's bits depend neither on the columns beside it nor on the empty cells that pad its row.
Does not: decide about alarms, keep history, or repair rows that depend on each other.
Called by: `eprocess` (one column), `edetectors` and the drift observer.
Source: Lindon & Malek 2022 (Dirichlet mixture), Wasserman, Ramdas & Balakrishnan 2020 (universal inference).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from sidecar.stats.apart import STEPS, apart_cells, apart_norms
from sidecar.stats.divergence_ball import (
    MOST_STEPS,
    divergence,
    log_likelihood,
    ratio_to,
    summed,
    weight_on_boundary,
)
from sidecar.stats.fault_bets import FaultBets
from sidecar.stats.tilts import TILTS, tilt_scores

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# The mixture spreads its bets from broad departures (50) to hair-fine ones (51,200), each four times the last.
_CONCENTRATIONS: Floats = np.array([50.0 * 4.0**power for power in range(6)])
_HALVINGS = 12
# Rows of counts worked on together: what they need stays in the processor's cache.
_SWEEP = 256
_FEWEST_ORDERED = 3
# Bets on faults are worked out for rows in between only: nats of E that could be won, and that are there anyway.
_WORTH_A_BET, _LOUD = 5.0, 40.0
_KEPT = float(np.log(2.0 / 3.0))


class TolerantTests:
    """The parts of the e-process that depend on the baselines alone, worked out once.

    One baseline a column: counts of shape (B_k,). Live counts are padded with zeros to the most cells of any
    column, B. Counts may be fractions (rows that depend on each other are counted as fewer). `ordered`: how many of a
    column's first cells ascend; where there are three or more, half of the stake bets on simple moves of these.
    `apart`: half of the other half bets that one cell changed and the rest kept their proportions (see `apart`).
    `gaps`: for some columns, a tolerance of their own for the shares of the last two cells (missing, wrong type): half
    of the stake is then on leaving that ball, so that a feature that varies much by nature may not lose its values.
    `moves`: for some columns, where known faults would put their rows (see `fault_bets`): a third of the stake is on
    those.

    >>> tests = TolerantTests([[500, 500], [100, 300, 600]])
    >>> tests.log_e([[[900, 100, 0]], [[100, 300, 600]]], [0.005, 0.01]).round(1).tolist()
    [[266.6], [-0.6]]
    """

    def __init__(
        self,
        baselines: Sequence[ArrayLike],
        ordered: Sequence[int] | None = None,
        *,
        apart: bool = False,
        gaps: Sequence[float | None] | None = None,
        moves: Sequence[ArrayLike | None] | None = None,
    ) -> None:
        rows = [_baseline(counts) for counts in baselines]
        self.cells = tuple(int(row.size) for row in rows)
        width = max(self.cells, default=1)
        counts, inside = np.zeros((width, len(rows))), np.zeros((width, len(rows)), dtype=bool)
        for column, row in enumerate(rows):
            counts[: row.size, column] = row
            inside[: row.size, column] = True
        totals = summed(counts)
        sizes = inside.sum(axis=0)
        self._p0 = counts / totals
        prior = (counts + 0.5) / (totals + sizes / 2)
        self._prior, self._padding = prior, ~inside.T
        self._constant = gammaln(_CONCENTRATIONS)[:, None] - summed(gammaln(self._pseudo(np.arange(len(rows)), width)))
        ascending = list(ordered) if ordered is not None else [0] * len(rows)
        if any(not 0 <= first <= row.size for first, row in zip(ascending, rows, strict=True)):
            raise ValueError("a column has as many ordered cells as it has cells, or fewer")
        self._tilted = np.array([first >= _FEWEST_ORDERED for first in ascending], dtype=bool)
        self._log_prior = np.where(inside, np.log(prior), 0.0)
        self._scores, self._norms = np.zeros((width, 2, len(rows))), np.zeros((len(TILTS), len(rows)))
        for column in np.flatnonzero(self._tilted).tolist():
            cells = self.cells[column]
            scores, self._norms[:, column] = tilt_scores(prior[:cells, column], ascending[column])
            self._scores[:cells, :, column] = scores.T
        alone = [apart_cells(row, first) if apart else () for row, first in zip(rows, ascending, strict=True)]
        self._apart_sizes = np.array([len(cells) for cells in alone], dtype=np.int64)
        most = int(self._apart_sizes.max(initial=0))
        self._apart_cells = np.zeros((most, len(rows)), dtype=np.int64)
        # Where a column has fewer cells, so unlikely that it adds nothing.
        self._apart_norms = np.full((most, STEPS.size, len(rows)), 1e100)
        for column, cells_apart in enumerate(alone):
            self._apart_cells[: len(cells_apart), column] = cells_apart
            self._apart_norms[: len(cells_apart), :, column] = apart_norms(prior[list(cells_apart), column])
        priors = [prior[: row.size, column] for column, row in enumerate(rows)]
        self._faults = FaultBets(moves if moves is not None else [None] * len(rows), priors)
        tight = [number for number, nats in enumerate(gaps or ()) if nats is not None]
        self._with_gaps = np.asarray(tight, dtype=np.int64)
        self._last = np.asarray([self.cells[number] - 1 for number in tight], dtype=np.int64)
        self._gap_tolerances = np.asarray([nats for nats in gaps or () if nats is not None], dtype=np.float64)
        self._gaps = TolerantTests([_gaps(rows[number]) for number in tight], apart=apart) if tight else None

    @property
    def width(self) -> int:
        """Most cells of any column: the length B of a padded row."""
        return int(self._p0.shape[0])

    def padded(self, rows: Sequence[ArrayLike]) -> Floats:
        """Counts of every column (shapes (B_k,)) as one table of shape (K, B); ValueError where cells differ."""
        table = np.zeros((len(self.cells), self.width))
        for index, (row, cells) in enumerate(zip(rows, self.cells, strict=True)):
            counts = np.asarray(row, dtype=np.float64)
            if counts.shape != (cells,):
                raise ValueError(f"live counts must have {cells} cells, got shape {counts.shape}")
            table[index, :cells] = counts
        return table

    def log_e(self, live: ArrayLike, tolerance: ArrayLike) -> Floats:
        """Natural logarithm of E for live counts of shape (K, A, B), as shape (K, A); 0 for a row without counts.

        `tolerance`: nats, one for all columns or one each (shape (K,)). ValueError where counts are no counts.
        """
        counts = self._live(live, 3)
        tolerances = np.broadcast_to(_tolerance(tolerance), (len(self.cells),))
        columns, ages, _ = counts.shape
        answer = np.zeros(columns * ages)
        flat = counts.reshape(columns * ages, self.width)
        spoken = np.flatnonzero(flat.any(axis=1))
        # Columns of like width together, so that little is worked out for the padding; nothing is added for it anyway.
        cells = np.asarray(self.cells, dtype=np.int64)
        spoken = spoken[np.argsort(cells[spoken // ages], kind="stable")]
        for start in range(0, spoken.size, _SWEEP):
            some = spoken[start : start + _SWEEP]
            column = some // ages
            rows = np.ascontiguousarray(flat[some, : int(cells[column].max())].T)
            best = self._log_best_inside(rows, column, tolerances[column])
            mixed = self._log_mixture(rows, column)
            # Nobody wins more than by the live shares themselves; who leaves a bet out only makes E smaller.
            most = log_likelihood(rows, rows / summed(rows)) - best
            asked = (most >= _WORTH_A_BET) & (mixed - best < _LOUD)
            answer[some] = self._with_faults(mixed, rows, column, asked) - best
        answer = answer.reshape(columns, ages)
        if self._gaps is not None:
            coarse = self._gaps.log_e(self._in_gaps(counts[self._with_gaps]), self._gap_tolerances)
            answer[self._with_gaps] = np.logaddexp(answer[self._with_gaps], coarse) - np.log(2.0)
        return answer

    def _in_gaps(self, counts: Floats) -> Floats:
        """Counts of rows with a value, without, and with a wrong one, of the columns with gaps (shape (G, A, 3))."""
        place = np.arange(len(counts))
        missing, wrong = counts[place, :, self._last - 1], counts[place, :, self._last]
        known = summed(np.moveaxis(counts, 2, 0)) - missing - wrong
        return np.stack([np.maximum(known, 0.0), missing, wrong], axis=2)

    def kl_lower(self, live: ArrayLike, alpha: float, floors: ArrayLike = 0.0) -> Floats:
        """See `eprocess.kl_lower`; live counts of shape (K, B), floors one for all or one each, answer (K,) in nats."""
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
        counts = self._live(live, 2)
        answer = np.zeros(len(self.cells))
        spoken = np.flatnonzero(counts.any(axis=1))
        for start in range(0, spoken.size, _SWEEP):
            some = spoken[start : start + _SWEEP]
            answer[some] = self._largest_rejected(np.ascontiguousarray(counts[some].T), some, alpha)
        answer[answer <= np.broadcast_to(np.asarray(floors, dtype=np.float64), answer.shape)] = 0.0
        return answer

    def _live(self, live: ArrayLike, dimensions: int) -> Floats:
        counts = np.asarray(live, dtype=np.float64)
        if counts.ndim != dimensions or counts.shape[0] != len(self.cells) or counts.shape[-1] != self.width:
            raise ValueError(f"live counts must have {self.width} cells a row, got shape {counts.shape}")
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise ValueError("live counts are finite and not negative")
        padding = self._padding if dimensions == 2 else self._padding[:, None, :]
        if np.any((counts > 0) & padding):
            raise ValueError("live counts stand in a cell that their column does not have")
        return counts

    def _log_mixture(self, counts: Floats, column: Indices) -> Floats:
        n = summed(counts)
        each = self._constant[:, column] - gammaln(_CONCENTRATIONS[:, None] + n)
        each = each + summed(gammaln(self._pseudo(column, len(counts)) + counts[:, None, :]))
        mixed = _log_mean(each)
        unmoved = summed(self._log_prior[: len(counts), column] * counts)
        if self._apart_cells.size:
            mixed = _log_mean(np.stack([mixed, self._log_apart(counts, n, column) + unmoved]))
        if (some := np.flatnonzero(self._tilted[column])).size:
            tilted = _log_mean(self._log_tilted(counts[:, some], n[some], column[some])) + unmoved[some]
            mixed[some] = _log_mean(np.stack([mixed[some], tilted]))
        return mixed

    def _pseudo(self, column: Indices, cells: int) -> Floats:
        """Pseudo-counts of the first cells, shape (cells, concentrations, M): six times the prior, and soon made."""
        counts = _CONCENTRATIONS[None, :, None] * self._prior[:cells, None, column]
        # A cell of the padding has pseudo-count 1 and never a row: it adds ln(gamma(1)) - ln(gamma(1)) = 0.
        return np.where(self._padding.T[:cells, None, column], 1.0, counts)

    def _with_faults(self, mixed: Floats, counts: Floats, column: Indices, asked: NDArray[np.bool_]) -> Floats:
        """The mixture with a third of the stake on faults, for columns that have such bets; 0 of it if not asked."""
        own = self._faults.some[column]
        mixed = np.where(own, mixed + _KEPT, mixed)
        if (some := np.flatnonzero(own & asked)).size:
            faults = self._faults.log_ratio(counts[:, some], column[some])
            unmoved = summed(self._log_prior[: len(counts), column[some]] * counts[:, some])
            mixed[some] = np.logaddexp(mixed[some], faults + unmoved - np.log(3.0))
        return mixed

    def _log_apart(self, counts: Floats, n: Floats, column: Indices) -> Floats:
        """Log of the mean, over cells set apart and steps, of the likelihood over that of the baseline."""
        total, sizes, rows = np.full(n.size, -np.inf), self._apart_sizes[column], np.arange(n.size)
        for place in range(int(sizes.max())):
            in_cell = counts[self._apart_cells[place, column], rows]
            logs = STEPS[:, None] * in_cell - n * self._apart_norms[place][:, column]
            total = np.logaddexp(total, _log_mean(logs))
        return total - np.log(sizes)

    def _log_tilted(self, counts: Floats, n: Floats, column: Indices) -> Floats:
        """Log of the likelihood of each tilt over that of the baseline, shape (J, M)."""
        first, second = summed(self._scores[: len(counts), :, column] * counts[:, None, :])
        logs: Floats = TILTS[:, :1] * first + TILTS[:, 1:] * second - n * self._norms[:, column]
        return logs

    def _log_best_inside(self, counts: Floats, column: Indices, tolerance: Floats) -> Floats:
        """Upper bound, tight to rounding, of max sum n ln p over KL(p0||p) <= tolerance, for each row.

        The maximiser is p = (n_i + lambda p0_i)/(n + lambda); with w = n/(n + lambda) it is the mixture of p0 and
        the live frequencies. KL is convex and rises in w, so Newton inside a bracket finds KL(w) = tolerance.
        """
        p0, n = self._p0[: len(counts), column], summed(counts)
        q = counts / n
        ratio = ratio_to(q, p0)
        point = tolerance == 0.0
        weight = weight_on_boundary(ratio, p0, np.where(point, 1.0, tolerance))
        mixed = np.where(point, p0, (1.0 - weight) * p0 + weight * q)
        multiplier = np.where(point, 0.0, n * (1.0 - weight) / weight)
        kl = divergence(weight, ratio, p0)
        with np.errstate(divide="ignore"):
            best = log_likelihood(counts, mixed)
        active = multiplier > 0
        raised: Floats = best + np.where(active, multiplier * (tolerance - np.where(active, kl, 0.0)), 0.0)
        return raised

    def _largest_rejected(self, counts: Floats, column: Indices, alpha: float) -> Floats:
        """Largest tolerance rejected at level alpha, for each row.

        Along the line from p0 to the live frequencies both the likelihood and KL(p0||p) rise: one root. The
        likelihood is concave there, so Newton's steps from below never pass the root: the bound stays valid.
        """
        p0, n = self._p0[:, column], summed(counts)
        q = counts / n
        mixed = self._with_faults(self._log_mixture(counts, column), counts, column, np.ones(n.size, dtype=bool))
        target = mixed + np.log(alpha)
        seen, step = counts > 0, q - p0
        low, high = np.zeros(n.size), np.ones(n.size)
        with np.errstate(divide="ignore"):
            going = log_likelihood(counts, p0) < target
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            under = log_likelihood(counts, p0 + middle * step) <= target
            low, high = np.where(going & under, middle, low), np.where(going & ~under, middle, high)
        going &= low > 0.0
        for _ in range(MOST_STEPS):
            if not going.any():
                break
            mixed = np.where(seen & going, p0 + low * step, 1.0)
            slope = summed(counts * step / mixed)
            gain = (target - log_likelihood(counts, mixed)) / np.where(slope > 0, slope, 1.0)
            going &= (slope > 0) & (gain > 1e-12 * low) & (low + gain <= high)
            low = np.where(going, low + gain, low)
        return divergence(low, ratio_to(q, p0), p0)


def _baseline(baseline: ArrayLike) -> Floats:
    counts = np.asarray(baseline, dtype=np.float64)
    if counts.ndim != 1 or counts.size < 1 or not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise ValueError("baseline counts are one row of finite numbers, none negative")
    if not counts.any():
        raise ValueError("a baseline without rows cannot be tested against")
    return counts


def _gaps(baseline: Floats) -> Floats:
    """Rows with a value, without, and with a wrong one."""
    return np.array([baseline[:-2].sum(), *baseline[-2:]])


def _log_mean(logs: Floats) -> Floats:
    """Log of the mean of what the first axis holds the logs of."""
    peak = logs.max(axis=0)
    mean: Floats = peak + np.log(summed(np.exp(logs - peak)) / logs.shape[0])
    return mean


def _tolerance(tolerance: ArrayLike) -> Floats:
    nats = np.asarray(tolerance, dtype=np.float64)
    if not (np.all(np.isfinite(nats)) and np.all(nats >= 0)):
        raise ValueError(f"a tolerance is finite and not negative, not {nats}")
    return nats
