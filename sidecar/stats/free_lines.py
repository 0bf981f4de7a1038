"""By which line did numbers move, if no conversion is known: read off the quantiles of all rows, or of the moved ones.

Keeps: a line is named by what it makes of training's range or figures (0 to 1, standardised) where it makes that, for
a scaler that was fitted on other rows than the baseline's is off by a per cent or so; otherwise as no known conversion.
Does not: say whether a line is what happened; lines that a season could draw are no candidates.
Called by: numeric candidates. Source: weighted least squares on matched quantiles, those far off left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.alignment import CELL, LEFT, aligned, repeats
from sidecar.stats.catalogue import Figures, Transform
from sidecar.stats.free_scale import MIDDLE_HALF, line_between, moved_quantiles, moved_values
from sidecar.stats.mixture_fit import LiveCounts

Floats = NDArray[np.float64]

_LEVELS: Floats = (np.arange(64) + 0.5) / 64
_FEWEST_LEVELS = 12
_ROUNDS = 4
_UNIT, _SLACK = (0.4, 1.5), 0.5  # training's rows and the scaler's are not the same: ranges differ by a few outliers
_NEAR_ONE, _NEAR_ZERO = (0.8, 1.25), 0.3
_SEASON, _FAR = 4.0, 5.0
_ORIGIN = 0.05
_PAIRS = (0, 1, 3, 6, 10, 15, 20)  # of 64 levels, as many from below as from above


def free_lines(
    trained: Floats, figures: Figures, live: LiveCounts, unchanged: Floats
) -> Iterator[tuple[Transform, Floats]]:
    """Each line with training's atoms on it; those that hit a live value but for the fit's error are put there.

    >>> from sidecar.stats.mixture_fit import live_counts
    >>> trained = np.linspace(10.0, 90.0, 512)
    >>> live, known = live_counts((trained - 8.0) / 84.0, np.ones(512), 0), Figures(50.0, 23.1, 10.0, 90.0)
    >>> [line.name for line, _ in free_lines(trained, known, live, live.masses(trained[None, :])[0])]
    ['min-max anew']
    """
    before = np.quantile(trained, MIDDLE_HALF)
    at = trained[np.minimum((_LEVELS * trained.size).astype(np.int64), trained.size - 1)]
    moved = moved_values(trained, live, unchanged)
    for after, levels, seen in (
        # Where a part moved, the quantiles of all rows are those of two things.
        (live.quantile(MIDDLE_HALF), live.quantile_at(_LEVELS), np.zeros(0) if moved.size else live.values),
        (
            moved_quantiles(trained, live, unchanged, MIDDLE_HALF),
            moved_quantiles(trained, live, unchanged, _LEVELS),
            moved,
        ),
    ):
        line = line_between(before, after) if after is not None else None
        if line is None or after is None or levels is None or _is_season(line[0], before, after):
            continue
        half = float(after[-1] - after[0])
        middle, found = float(np.median(after)), set[tuple[float, float]]()
        for factor, offset in _exact(trained, at, levels, seen, _fitted(at, levels, line, half), half):
            transform = _named(factor, offset, figures, middle) if factor > 0.0 else None
            told = (float(f"{factor:.3g}"), float(f"{offset:.2g}"))
            if transform is not None and told not in found:
                found.add(told)
                yield transform, _on_live_values(factor * trained + offset, live, half)


def _exact(
    trained: Floats, at: Floats, levels: Floats, seen: Floats, line: tuple[float, float], half: float
) -> Iterator[tuple[float, float]]:
    """The line, and those put on the values that were seen: from it and from ones through two matched quantiles."""
    yield line
    if not seen.size or not repeats(trained):
        return  # a continuous column has a value wherever one looks
    starts = [line]
    for low in _PAIRS:
        width, factor = at[-1 - low] - at[low], levels[-1 - low] - levels[low]
        if width > 0.0:
            starts.append((factor / width, float(levels[low] - factor / width * at[low])))
    for factor, offset in starts:
        yield aligned(trained, seen, (float(factor), offset), half)


def _is_season(factor: float, before: Floats, after: Floats) -> bool:
    """A line that stretches little and moves values by no more than a few of the column's widths."""
    moved = abs(float(np.median(after) - np.median(before)))
    return 1 / _SEASON < factor < _SEASON and moved <= _FAR * float(before[-1] - before[0])


def _fitted(at: Floats, levels: Floats, line: tuple[float, float], half: float) -> tuple[float, float]:
    """The line through matched quantiles, from a first guess; pairs that straddle a step of either side fall out."""
    factor, offset = line
    errors = CELL * np.abs(levels) + LEFT * half
    for turn in range(_ROUNDS):
        far = np.abs(levels - factor * at - offset)
        kept = far <= max(8.0 / 2.0**turn, 2.0) * errors + (0.05 * half if turn == 0 else 0.0)
        if kept.sum() < _FEWEST_LEVELS or np.ptp(at[kept]) <= 0.0:
            return factor, offset
        weights = 1.0 / errors[kept]
        made, *_ = np.linalg.lstsq(
            np.column_stack([at[kept], np.ones(int(kept.sum()))]) * weights[:, None], levels[kept] * weights, rcond=None
        )
        factor, offset = float(made[0]), float(made[1])
    return factor, offset


def _named(factor: float, offset: float, figures: Figures, middle: float) -> Transform | None:
    low, high = factor * figures.minimum + offset, factor * figures.maximum + offset
    if _UNIT[0] <= high - low <= _UNIT[1] and low >= -_SLACK and high <= 1.0 + _SLACK:
        return Transform("scaler", factor, offset, "made 0 to 1 by the range of other rows", name="min-max anew")
    if _NEAR_ONE[0] <= factor * figures.sd <= _NEAR_ONE[1] and abs(factor * figures.mean + offset) <= _NEAR_ZERO:
        return Transform("scaler", factor, offset, "standardised by figures of other rows", name="standardised anew")
    if abs(offset) < _ORIGIN * abs(middle) or 1 / _SEASON < factor < _SEASON:
        return None  # a line through the origin is a factor; summer and winter lie on a line as well
    return Transform("affine", float(f"{factor:.3g}"), float(f"{offset:.3g}"), story="no known conversion")


def _on_live_values(atoms: Floats, live: LiveCounts, half: float) -> Floats:
    """Atoms moved to the nearest live value where that is as near as the fit can tell."""
    place = np.clip(np.searchsorted(live.values, atoms), 1, max(live.values.size - 1, 1))
    below = live.values[place - 1]
    above = live.values[np.minimum(place, live.values.size - 1)]
    nearest = np.where(np.abs(atoms - below) <= np.abs(above - atoms), below, above)
    near = np.abs(atoms - nearest) <= CELL * np.abs(nearest) + LEFT * half
    return np.where(near, nearest, atoms)
