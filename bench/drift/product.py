"""The product as the experiments use it: a baseline of a table, an observer, rows folded bucket by bucket.

Only public names of the product; time is a number that is passed on, so nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.drift.data import Column, length
from registry_client import Baseline, build_baseline
from sidecar.observe.drift import DriftObserver
from sidecar.records import Prediction, Sample
from sidecar.reports import AlarmChange

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN_S = 1_800_000_000.0  # a multiple of every bucket that is used
BUCKET_S, FALSE_ALARM_DAYS, TOLERANCE = 60.0, 30.0, 0.005
SCORE, OUTCOME, TIME = "score of the model", "outcome", "moment"


def baseline_of(table: Mapping[str, Any], **roles: Any) -> Baseline:
    """A baseline; `roles` as those of `build_baseline`."""
    return build_baseline(dict(table), now=CREATED, **roles)


def observer_of(
    baseline: Baseline,
    *,
    bucket_s: float = BUCKET_S,
    false_alarm_days: float = FALSE_ALARM_DAYS,
    tolerance: float = TOLERANCE,
) -> DriftObserver:
    """An observer that begins at BEGIN_S."""
    return DriftObserver(
        baseline, bucket_s=bucket_s, false_alarm_days=false_alarm_days, tolerance=tolerance, now=BEGIN_S
    )


def sample_of(
    table: Mapping[str, Column], at: float, scores: NDArray[np.float64] | None = None, request_id: str = "r"
) -> Sample:
    """Rows as the payload readers give them."""
    prediction = None if scores is None else Prediction(labels=None, scores=tuple(scores.tolist()))
    return Sample(request_id=request_id, at=at, rows=length(table), features=table, prediction=prediction)


def replay(
    observer: DriftObserver,
    table: Mapping[str, Column],
    *,
    bucket_rows: int,
    scores: NDArray[np.float64] | None = None,
    bucket_s: float = BUCKET_S,
    first_bucket: int = 0,
) -> Iterator[tuple[int, AlarmChange]]:
    """Folds rows, `bucket_rows` a bucket, and closes each; what changed, with the number of its bucket."""
    rows = length(table)
    for number, start in enumerate(range(0, rows - bucket_rows + 1, bucket_rows), first_bucket):
        part = {name: column[start : start + bucket_rows] for name, column in table.items()}
        said = None if scores is None else scores[start : start + bucket_rows]
        began = BEGIN_S + number * bucket_s
        observer.fold(sample_of(part, began + bucket_s / 2, said, f"r{number}"))
        for change in observer.tick(began + bucket_s):
            yield number, change
