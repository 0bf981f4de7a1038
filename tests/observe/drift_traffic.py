"""Payments as training saw them, live ones, and the observer that watches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.observe.drift import DriftObserver
from sidecar.records import Prediction, Sample
from sidecar.reports import AlarmChange, DriftReport, FeatureDrift

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
BUCKET_S = 60.0


def live_rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {
        "amount": np.round(np.exp(rng.normal(8.0, 1.0, n))),
        "age": rng.integers(18, 90, n),
        "city": rng.choice(["Bonn", "Kyiv", "Lima", "Oslo"], size=n, p=[0.4, 0.3, 0.2, 0.1]).tolist(),
    }


_RNG = np.random.default_rng(5)
TRAINED = live_rows(_RNG, 20_000)
BASELINE = build_baseline(
    {**TRAINED, "score": _RNG.beta(2, 5, 20_000)}, prediction="score", name="payments", now=CREATED
)


def observer(now: float = 0.0, baseline: Baseline = BASELINE, **changes: Any) -> DriftObserver:
    settings: dict[str, Any] = {"bucket_s": BUCKET_S, "false_alarm_days": 30.0, "tolerance": 0.005}
    return DriftObserver(baseline, now=now, **settings | changes)


def sample(
    features: Mapping[str, Any], rows: int, scores: NDArray[np.float64] | None = None, at: float = 0.0
) -> Sample:
    prediction = None if scores is None else Prediction(labels=None, scores=tuple(float(score) for score in scores))
    return Sample(request_id="r", at=at, rows=rows, features=features, prediction=prediction)


def traffic(
    watch: DriftObserver, rng: np.random.Generator, buckets: range, n: int = 100, **changed: Any
) -> Iterator[AlarmChange]:
    """Folds `n` rows in each bucket and ticks at its end; `changed` maps feature names to functions of the column."""
    for bucket in buckets:
        rows = live_rows(rng, n)
        for name, change in changed.items():
            if name in rows:
                rows[name] = change(rows[name])
        scores = changed.get("score", lambda scores: scores)(rng.beta(2, 5, n))
        watch.fold(sample(rows, n, scores, at=BUCKET_S * bucket))
        yield from watch.tick(BUCKET_S * (bucket + 1))


def told(report: DriftReport, name: str) -> FeatureDrift:
    (found,) = (each for each in report.features if each.name == name)
    return found
