"""How far what was learnt on training rows can be carried over to live ones, by one feature's counts.

Keeps: `share_alike` bounds from above which share of training's rows counts for live ones (the effective sample size of
the density ratio): that of all features together is never larger than that of one. Cells that training left empty are
not in it; their share is `share_outside`.
Does not: see rows that are odd only as a whole. Counts only, so replicas add.
Called by: the estimate of quality without outcomes. Source: Kong 1992 (effective sample size, 1 / (1 + chi-square));
a calibration that is off by r (root mean square over kinds of rows) may be off by r * sqrt(chi-square) on live rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Cells that hold less of training are one cell of this size: a few rows there say nothing of a ratio.
_RARE = 0.005


def share_outside(trained: Sequence[int], live: Sequence[int]) -> float:
    """The share of live rows in cells where training had no row at all.

    >>> share_outside((50, 50, 0), (45, 45, 10))
    0.1
    """
    rows = sum(live)
    return sum(count for was, count in zip(trained, live, strict=True) if not was) / rows if rows else 0.0


def share_alike(trained: Sequence[int], live: Sequence[int]) -> float:
    """At most this share of training's rows counts for live ones: 1 / sum of q² / p, without what sampling adds.

    >>> share_alike((100, 100, 100, 100), (25, 25, 25, 25)), round(share_alike((100, 100, 100, 100), (0, 0, 0, 900)), 2)
    (1.0, 0.25)
    """
    before, now = np.asarray(trained, dtype=np.float64), np.asarray(live, dtype=np.float64)
    if before.shape != now.shape:
        raise ValueError(f"{before.size} cells of training and {now.size} live ones")
    filled = before > 0
    before, now = before[filled], now[filled]
    rows = now.sum()
    if rows < 2:
        return 1.0
    rare = before < _RARE * before.sum()
    if rare.any():
        before = np.append(before[~rare], max(before[rare].sum(), _RARE * before.sum()))
        now = np.append(now[~rare], now[rare].sum())
    # n(n-1) pairs instead of n² squares: so it is right on average, however few the rows.
    doubled = float((now * (now - 1.0) / before).sum()) * float(before.sum()) / float(rows * (rows - 1.0))
    return min(1.0, 1.0 / doubled) if doubled > 0 else 1.0
