"""Counts and evidence of every column as one report, as people and machines read it.

Keeps: a number that is not known is None, never zero. Does not judge: what it is given was judged.
Called by: the drift observer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sidecar.observe.judging import RECENT_BUCKETS, Judging
from sidecar.observe.reference import as_baseline
from sidecar.observe.ruler import Ruler
from sidecar.observe.watched_column import WatchedColumn, ordered_cells, tolerance_of
from sidecar.reports import FeatureDrift
from sidecar.stats.psi import psi, psi_noise
from sidecar.stats.tolerant_tests import TolerantTests

Counts = NDArray[np.int64]

LEVEL = 0.01
_LARGEST_LOG = math.log(1e300)


def against_baselines(ruler: Ruler, judging: Judging, open_counts: Counts) -> dict[int, FeatureDrift]:
    """Each judged column against what it is judged against; `open_counts` are of buckets that nobody judged yet."""
    live = {k: column.shown + ruler.of(open_counts, k) for k, column in judging.columns.items()}
    sizes = judging.sizes(live, LEVEL)
    return {
        number: _drift(
            column,
            np.asarray(column.baseline.counts, dtype=np.int64),
            live[number],
            column.overlay + ruler.of(open_counts, number),
            size=sizes[number],
            watched=True,
        )
        for number, column in judging.columns.items()
    }


def against_earlier(ruler: Ruler, judging: Judging, tolerance: float) -> dict[int, FeatureDrift]:
    """Each column's last 16 closed buckets against all before; nothing is latched, since nothing is frozen."""
    recent = {k: column.detector.recent(RECENT_BUCKETS) for k, column in judging.columns.items()}
    earlier = {k: column.detector.total - recent[k] for k, column in judging.columns.items()}
    known = [number for number, counts in earlier.items() if counts.any()]
    sizes: dict[int, tuple[float, float]] = {}
    if known:
        before = {k: as_baseline(ruler.columns[k], earlier[k]) for k in known}
        rows = [b.counts for b in before.values()]
        tests = TolerantTests(rows, [ordered_cells(b) for b in before.values()], apart=True)
        weighed = tests.padded([recent[k] / judging.columns[k].detector.overdispersion for k in known])
        tolerances = [tolerance_of(b, tolerance, natural=b.natural_variation) for b in before.values()]
        bounds = tests.kl_lower(weighed, LEVEL, [tolerance_of(b, 0.0, natural=0.0) for b in before.values()])
        log_e = tests.log_e(weighed[:, None, :], tolerances)[:, 0]
        sizes = dict(zip(known, zip(bounds.tolist(), log_e.tolist(), strict=True), strict=True))
    return {
        number: _drift(column, earlier[number], recent[number], recent[number], size=sizes.get(number), watched=False)
        for number, column in judging.columns.items()
    }


def rows_of(
    ruler: Ruler, drifts: Mapping[int, FeatureDrift], unjudged: Callable[[int], FeatureDrift]
) -> tuple[tuple[FeatureDrift, ...], FeatureDrift | None, FeatureDrift]:
    """Features in training's order, prediction, schema; those that were not judged as `unjudged` has them."""
    every = [drifts[number] if number in drifts else unjudged(number) for number in range(len(ruler.columns))]
    prediction = every[0] if ruler.predicts else None
    return tuple(every[number] for number in ruler.features), prediction, every[ruler.schema]


def without_evidence(column: WatchedColumn) -> FeatureDrift:
    """A column of which the frozen reference has no row: nothing to compare with."""
    nothing = np.zeros(column.cells.size, dtype=np.int64)
    return _drift(column, nothing, nothing, nothing, size=None, watched=False)


def _drift(
    column: WatchedColumn,
    before: Counts,
    live: Counts,
    overlay: Counts,
    *,
    size: tuple[float, float] | None,
    watched: bool,
) -> FeatureDrift:
    """`size`: lower bound and log of E, None where there is nothing to compare with."""
    cells, n = column.cells, int(live.sum())
    known = n > 0 and size is not None
    kl, log_e = size if known and size is not None else (0.0, 0.0)
    shares = {
        name: float(live[index] / n) if n and index is not None else 0.0
        for name, index in (
            ("missing", cells.missing_index),
            ("wrong_type", cells.wrong_type_index),
            ("unseen", cells.unseen_index),
        )
    }
    return FeatureDrift(
        name=column.baseline.name,
        kind=column.baseline.kind,
        n=n,
        psi=psi(before, live) if known else None,
        psi_noise=psi_noise(n, int(before.sum()), cells.size).mean if known else None,
        kl_lower=kl,
        e_value=math.exp(min(log_e, _LARGEST_LOG)),
        alarm=watched and column.alarmed_since is not None,
        since=column.alarmed_since if watched else None,
        cause=column.cause if watched else None,
        cells=cells.labels,
        baseline_counts=tuple(before.tolist()),
        live_counts=tuple(overlay.tolist()),
        **shares,
    )
