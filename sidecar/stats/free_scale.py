"""By which factor did numbers grow, if no unit is known: read off the quantiles, or off the rows that moved.

Keeps: a factor comes with its relative standard error. Both readings work on logarithms, where a factor is a shift.
Does not: say whether a factor is what happened.
Called by: numeric candidates. Source: shift by the peak of the cross-correlation of log histograms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.mixture_fit import LiveCounts, lattice_key

Floats = NDArray[np.float64]

MIDDLE_HALF: Floats = np.linspace(0.25, 0.75, 21)
_BINS_AN_OCTAVE = 16
_LEAST_SHARE, _MOST_SHARE = 0.05, 0.95
_FEWEST_MOVED = 30
_LOWEST, _CHANCE = 0.1, 1.28  # a tenth of normal values lie so many standard deviations below their mean
_ERRORS = 2.0
_LEAST_SEEN, _LEAST_PART_SEEN = 1.0, 0.004
_LEAST_CROSSED = 1e-9
_PEAKS = 2
_ROUND_BINS = 6  # a second peak nearer than this is the first one's shoulder


def free_factor(trained: Floats, live: LiveCounts) -> tuple[float | None, float]:
    """Median ratio of the middle quantiles, for rows that all switched, and its relative standard error.

    >>> from sidecar.stats.mixture_fit import live_counts
    >>> trained = np.linspace(1.0, 2.0, 512)
    >>> round(free_factor(trained, live_counts(3.7 * trained, np.ones(512), 0))[0], 2)
    3.7
    """
    before, after = np.quantile(trained, MIDDLE_HALF), live.quantile(MIDDLE_HALF)
    if np.any(before * after <= 0):
        return None, math.inf
    logs = np.log(np.abs(after))
    spread = abs(float(logs[-1] - logs[0])) / 1.349
    return math.exp(float(np.median(logs - np.log(np.abs(before))))), max(1.25 * spread / math.sqrt(live.n), 0.002)


def line_between(before: Floats, after: Floats) -> tuple[float, float] | None:
    """Factor and offset of the ascending line that makes the middle-half quantiles of one into those of the other."""
    width, half = float(before[-1] - before[0]), float(after[-1] - after[0])
    if width <= 0 or half <= 0:
        return None
    factor = half / width
    return factor, float(np.median(after)) - factor * float(np.median(before))


def moved_quantiles(trained: Floats, live: LiveCounts, unchanged: Floats, levels: Floats) -> Floats | None:
    """Quantiles of the rows that moved, where others stayed; None where too few moved to tell.

    Rows that moved are those of live - (1 - w) baseline, key by key, with the smallest w that leaves no cell far
    below zero: right where they went to places that training hardly had.
    """
    found = moved_rows(trained, live, unchanged)
    if found is None:
        return None
    at, left = found
    values: Floats = at[np.searchsorted(np.cumsum(left) / left.sum(), levels).clip(max=at.size - 1)]
    return values


def moved_rows(trained: Floats, live: LiveCounts, unchanged: Floats) -> tuple[Floats, Floats] | None:
    """Ascending live values, and at each about how many rows moved there; None as for their quantiles."""
    share = moved_share(live, unchanged)
    if share < _LEAST_SHARE or share * live.n < _FEWEST_MOVED or share > _MOST_SHARE:
        return None
    keys, start = np.unique(live.keys, return_index=True)
    rows = np.add.reduceat(live.counts, start)
    was = np.searchsorted(np.sort(lattice_key(trained, live.coarsening)), np.append(keys, keys[-1] + 1))
    stayed = (1.0 - share) * live.n * np.diff(was) / trained.size
    # What chance adds to those that stayed did not move.
    left = np.where(rows - stayed > _ERRORS * np.sqrt(stayed), rows - stayed, 0.0)
    return (live.values[start], left) if left.sum() > 0.0 else None


def moved_values(trained: Floats, live: LiveCounts, unchanged: Floats) -> Floats:
    """The live values to which rows moved, ascending, without those that a row or two too many would explain."""
    found = moved_rows(trained, live, unchanged)
    if found is None:
        return np.zeros(0)
    values, left = found
    seen: Floats = values[left >= max(_LEAST_SEEN, _LEAST_PART_SEEN * float(left.sum()))]
    return seen


def moved_share(live: LiveCounts, unchanged: Floats) -> float:
    """The smallest share of rows that must have moved: in few cells there are fewer than the rest would leave.

    Few by training's rows in them: between values that repeat lie cells which nobody ever filled. And fewer than
    chance leaves, for the lowest of many cells are low by chance.
    """
    left = live.observed() / live.n / unchanged
    left = left + _CHANCE * np.sqrt(left / (live.n * unchanged))
    order = np.argsort(left, kind="stable")
    reached = np.cumsum(unchanged[order]) / unchanged.sum()
    return max(1.0 - float(left[order][int(np.searchsorted(reached, _LOWEST))]), 0.0)


def mixture_factors(trained: Floats, live: LiveCounts, unchanged: Floats) -> Iterator[tuple[float, float]]:
    """Factors of the rows that moved, where others stayed: the highest peaks, refined, each with its error.

    The residual is live - (1 - w) baseline with the smallest w that leaves no cell far below zero.
    """
    share = moved_share(live, unchanged)
    moved = share * live.n
    if share < _LEAST_SHARE or moved < _FEWEST_MOVED:
        return
    lines = [(_octaves(live.values[live.values > 0]), live.counts[live.values > 0], _octaves(trained[trained > 0]))]
    lines += [(_octaves(-live.values[live.values < 0]), live.counts[live.values < 0], _octaves(-trained[trained < 0]))]
    found: Floats | None = None
    low = min((float(line.min()) for pair in lines for line in (pair[0], pair[2]) if line.size), default=0.0)
    high = max((float(line.max()) for pair in lines for line in (pair[0], pair[2]) if line.size), default=0.0)
    size = int((high - low) * _BINS_AN_OCTAVE) + 2
    if not 2 < size <= 1 << 16:
        return
    for places, counts, atoms in lines:
        if not places.size or not atoms.size:
            continue
        now = np.bincount(((places - low) * _BINS_AN_OCTAVE).astype(np.int64), weights=counts / live.n, minlength=size)
        was = np.bincount(((atoms - low) * _BINS_AN_OCTAVE).astype(np.int64), minlength=size) / trained.size
        rest = np.maximum(now - (1.0 - share) * was, 0.0)
        crossed = _convolved(rest, was[::-1])
        found = crossed if found is None else found + crossed
    if found is None:
        return
    error = max(1.25 * float(np.std(np.log(np.abs(trained[trained != 0]) + 1e-300))) / math.sqrt(moved), 0.004)
    for _ in range(_PEAKS):
        peak = int(np.argmax(found))
        if found[peak] <= 0:
            return
        around = np.arange(max(peak - 2, 0), min(peak + 3, found.size))
        centre = float((around * found[around]).sum() / found[around].sum())
        yield 2.0 ** ((centre - (size - 1)) / _BINS_AN_OCTAVE), error
        found[max(peak - _ROUND_BINS, 0) : peak + _ROUND_BINS + 1] = 0.0


def _convolved(one: Floats, other: Floats) -> Floats:
    """The full convolution of two rows of equal length."""
    size = 2 * one.size - 1
    found = np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)
    return np.where(found > _LEAST_CROSSED, found, 0.0)  # what is nothing comes back as a little less or more


def _octaves(values: Floats) -> Floats:
    return np.log2(values)
