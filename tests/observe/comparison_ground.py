"""Exchanges of one pair of versions, and what a comparison makes of them."""

from __future__ import annotations

import random
from typing import Any

from sidecar.observe.comparison import ComparisonObserver
from sidecar.records import Answer, Exchange, Leg, Prediction
from sidecar.reports import ComparisonReport, Copies

OK = Answer(200, "application/json", "", b"{}")


def leg(version: str = "4", **more: Any) -> Leg:
    fields = {"answer": OK, "error": None, "dropped": None, "latency_s": 0.010, **more}
    return Leg(version=version, **fields)


def exchange(request_id: str = "r", at: float = 1000.0, champion: Leg | None = None) -> Exchange:
    return Exchange(
        request_id=request_id,
        deployment="fraud",
        generation=1,
        at=at,
        path="/",
        content_type="",
        content_encoding="",
        body=b"",
        body_complete=True,
        champion=champion or leg("3", latency_s=0.005),
        shadows=(),
    )


def said(labels: tuple[str, ...] | None = None, scores: tuple[float, ...] | None = None) -> Prediction:
    return Prediction(labels=labels, scores=scores)


def observer(tolerance: float = 0.01) -> ComparisonObserver:
    return ComparisonObserver("3", "4", score_tolerance=tolerance, now=1000.0)


def folded(*pairs: tuple[Prediction | None, Prediction | None], tolerance: float = 0.01) -> ComparisonReport:
    comparison = observer(tolerance)
    for place, (champion, challenger) in enumerate(pairs):
        comparison.fold(exchange(f"r{place}", 1000.0 + place), leg(), champion, challenger)
    return comparison.report(5000.0)


def random_observer(rng: random.Random) -> ComparisonObserver:
    comparison = ComparisonObserver("3", "4", score_tolerance=0.01, now=1000.0 + rng.randrange(50))
    for place in range(rng.randrange(1, 60)):
        rows = rng.randrange(1, 4)
        labels = [tuple(rng.choice("01") for _ in range(rows)) for _ in range(2)]
        scores = [tuple(rng.randrange(64) / 32 for _ in range(rows)) for _ in range(2)]
        shadow = rng.choice([leg(), leg(), leg(answer=None, error="timeout"), leg(dropped="disabled")])
        request = exchange(f"{rng.random()}", 1000.0 + place * rng.randrange(1, 90))
        comparison.fold(request, shadow, said(labels[0], scores[0]), said(labels[1], scores[1]))
    comparison.fold_copies(Copies(mirrored=rng.randrange(9), errors={"reset": 1}, dropped={rng.choice("ab"): 2}))
    return comparison


def merged(*observers: ComparisonObserver) -> ComparisonObserver:
    total = ComparisonObserver("3", "4", score_tolerance=0.01, now=10_000.0)
    for one in observers:
        total.merge(one)
    return total
