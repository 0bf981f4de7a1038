"""The tolerant count e-process: evidence that live rows left a ball around the baseline.

Keeps: for every distribution with KL(p0||p) <= tolerance, P(any look ever shows E >= 1/alpha) <= alpha; only
summed counts matter, so replicas add and order is free. Rounding never inflates E: the constrained maximum
is read from the dual problem, which bounds it from above at any multiplier.
Does not: decide about alarms, keep history, or repair rows that depend on each other.
Called by: the e-detector and the drift observer.
Source: Lindon & Malek 2022 (Dirichlet mixture), Wasserman, Ramdas & Balakrishnan 2020 (universal inference).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

Floats = NDArray[np.float64]

# The mixture spreads its bets from broad departures (50) to hair-fine ones (51,200), each four times the last.
_CONCENTRATIONS: Floats = np.array([50.0 * 4.0**power for power in range(6)])
_MOST_STEPS = 80
_HALVINGS = 12


class TolerantTest:
    """The parts of the e-process that depend on the baseline alone, worked out once (counts of shape (B,))."""

    def __init__(self, baseline: ArrayLike) -> None:
        counts = np.asarray(baseline, dtype=np.float64)
        if counts.ndim != 1 or counts.size < 1 or not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise ValueError("baseline counts are one row of finite numbers, none negative")
        total = float(counts.sum())
        if total <= 0:
            raise ValueError("a baseline without rows cannot be tested against")
        self.cells = int(counts.size)
        self._p0 = counts / total
        self._filled = counts > 0
        self._p0_filled = self._p0[self._filled]
        prior = (counts + 0.5) / (total + counts.size / 2)
        self._pseudo = _CONCENTRATIONS[:, None] * prior[None, :]
        self._constant = gammaln(_CONCENTRATIONS) - gammaln(self._pseudo).sum(axis=1)

    def log_e(self, live: ArrayLike, tolerance: float) -> Floats:
        """Natural logarithm of E for each row of live counts (shape (A, B)); 0 for a row without counts."""
        if not (tolerance >= 0 and math.isfinite(tolerance)):
            raise ValueError(f"a tolerance is finite and not negative, not {tolerance}")
        counts = self._live(live)
        answer = np.zeros(counts.shape[0])
        rows = counts.sum(axis=1) > 0
        if rows.any():
            answer[rows] = self._log_mixture(counts[rows]) - self._log_best_inside(counts[rows], tolerance)
        return answer

    def kl_lower(self, live: ArrayLike, alpha: float, floor: float) -> float:
        """See `kl_lower` of this module; `live` has shape (B,)."""
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
        counts = self._live(np.asarray(live)[None, :])
        n = counts.sum()
        if n == 0:
            return 0.0
        q = counts[0] / n
        target = float(self._log_mixture(counts)[0]) + math.log(alpha)
        with np.errstate(divide="ignore"):
            if float(xlogy(counts[0], self._p0).sum()) >= target:
                return 0.0
        # Along the line from p0 to the live frequencies both the likelihood and KL(p0||p) rise: one root. The
        # likelihood is concave there, so Newton's steps from below never pass the root: the bound stays valid.
        seen = counts[0] > 0
        rows, start, step = counts[0][seen], self._p0[seen], (q - self._p0)[seen]
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if rows @ np.log(start + middle * step) <= target else (low, middle)
        for _ in range(_MOST_STEPS if low > 0.0 else 0):
            mixed = start + low * step
            gain = (target - float(rows @ np.log(mixed))) / float(rows @ (step / mixed))
            if not gain > 1e-12 * low or low + gain > high:
                break
            low += gain
        bound = float(self._divergence(np.array([low]), self._ratio(q[None, :]))[0])
        return bound if bound > floor else 0.0

    def _live(self, live: ArrayLike) -> Floats:
        counts = np.asarray(live, dtype=np.float64)
        if counts.ndim != 2 or counts.shape[1] != self.cells:
            raise ValueError(f"live counts must have {self.cells} cells, got shape {counts.shape}")
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise ValueError("live counts are finite and not negative")
        return counts

    def _log_mixture(self, counts: Floats) -> Floats:
        n = counts.sum(axis=1)
        each = (
            self._constant[None, :]
            - gammaln(_CONCENTRATIONS[None, :] + n[:, None])
            + gammaln(self._pseudo[None, :, :] + counts[:, None, :]).sum(axis=2)
        )
        peak = each.max(axis=1)
        mixed: Floats = peak + np.log(np.exp(each - peak[:, None]).mean(axis=1))
        return mixed

    def _ratio(self, q: Floats) -> Floats:
        return q[:, self._filled] / self._p0_filled - 1.0

    def _divergence(self, weight: Floats, ratio: Floats) -> Floats:
        """KL(p0 || (1-w) p0 + w q) for each row; infinite where w = 1 and a filled cell has no live row."""
        with np.errstate(divide="ignore"):
            kl: Floats = -(np.log1p(weight[:, None] * ratio) @ self._p0_filled)
        return kl

    def _log_best_inside(self, counts: Floats, tolerance: float) -> Floats:
        """Upper bound, tight to rounding, of max sum n ln p over KL(p0||p) <= tolerance, for each row.

        The maximiser is p = (n_i + lambda p0_i)/(n + lambda); with w = n/(n + lambda) it is the mixture of p0 and
        the live frequencies. KL is convex and rises in w, so Newton inside a bracket finds KL(w) = tolerance.
        """
        n = counts.sum(axis=1)
        q = counts / n[:, None]
        if tolerance == 0.0:
            with np.errstate(divide="ignore"):
                point: Floats = xlogy(counts, self._p0[None, :]).sum(axis=1)
            return point
        ratio = self._ratio(q)
        weight = self._weight_on_boundary(ratio, tolerance)
        mixed = (1.0 - weight)[:, None] * self._p0[None, :] + weight[:, None] * q
        multiplier = n * (1.0 - weight) / weight
        kl = self._divergence(weight, ratio)
        slack = np.where(multiplier > 0, multiplier * (tolerance - np.where(multiplier > 0, kl, 0.0)), 0.0)
        best: Floats = xlogy(counts, mixed).sum(axis=1) + slack
        return best

    def _weight_on_boundary(self, ratio: Floats, tolerance: float) -> Floats:
        ones = np.ones(ratio.shape[0])
        inside = self._divergence(ones, ratio) <= tolerance
        # KL(w) <= -ln(1-w), hence the root is at least 1 - exp(-tolerance); and at most 1.
        low, high = ones * -math.expm1(-tolerance), ones.copy()
        curvature = (ratio**2) @ self._p0_filled
        step = np.sqrt(2.0 * tolerance / np.maximum(curvature, 1e-300))
        weight = np.clip(step, low, 1.0 - 1e-9)
        for _ in range(_MOST_STEPS):
            shifted = 1.0 + weight[:, None] * ratio
            over = -(np.log(shifted) @ self._p0_filled) - tolerance
            settled = inside | (np.abs(over) <= 1e-10 * tolerance) | (high - low <= 1e-15)
            if settled.all():
                break
            low, high = np.where(over <= 0, weight, low), np.where(over > 0, weight, high)
            slope = -((ratio / shifted) @ self._p0_filled)
            newton = weight - over / np.where(slope > 0, slope, 1.0)
            safe = (slope > 0) & (newton > low) & (newton < high)
            weight = np.where(settled, weight, np.where(safe, newton, 0.5 * (low + high)))
        return np.where(inside, 1.0, weight)


def log_e(live: ArrayLike, baseline: ArrayLike, tolerance: float) -> float:
    """Log of E for live counts against baseline counts (both shape (B,)), null KL(p0||p) <= `tolerance` nats.

    E >= 1/alpha rejects at level alpha, at any time of looking. A cell that the baseline never filled may hold
    up to 1 - exp(-tolerance) of the rows; with tolerance 0 a single row there makes E infinite.

    >>> log_e([52, 48], [500, 500], 0.005) < 0
    True
    >>> log_e([900, 100], [500, 500], 0.005) > 100
    True
    """
    return float(TolerantTest(baseline).log_e(np.asarray(live)[None, :], tolerance)[0])


def log_e_many(live: ArrayLike, baseline: ArrayLike, tolerance: float) -> Floats:
    """`log_e` of several rows of live counts at once: shape (A, B) gives shape (A,).

    >>> log_e_many([[0, 0], [900, 100]], [500, 500], 0.005).shape
    (2,)
    """
    return TolerantTest(baseline).log_e(live, tolerance)


def kl_lower(live: ArrayLike, baseline: ArrayLike, alpha: float = 0.01, tolerance_floor: float = 0.0) -> float:
    """Largest tolerance still rejected at level `alpha`: a lower bound on KL(p0||p) in nats, valid at any time.

    Bounds at or under `tolerance_floor` (for instance the baseline's own error) are reported as 0.0, as is
    "nothing rejected". Twice the bound is comparable to a PSI.

    >>> kl_lower([52, 48], [500, 500])
    0.0
    >>> 0.2 < kl_lower([900, 100], [500, 500]) < 0.51
    True
    """
    return TolerantTest(baseline).kl_lower(live, alpha, tolerance_floor)
