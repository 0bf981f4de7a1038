"""Experiment F, second part: what refusing costs and saves, on histories that are not those of the first part.

Seven real tables, each put in the order of a random mixture of three of its features, so that every feature's range
is the same early and late while the rows are not; a logistic model learns from the early half, and chunks of the late
half are estimated. An estimate is off where it misses the accuracy by more than its band and a point.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm, rankdata

from bench.drift import data
from bench.drift.data import Column
from bench.drift.episodes import Served, california, car_loans, employment, inputs_of, logistic, work_from_home
from bench.drift.estimated_performance import baseline_with_outcomes
from bench.result import Table
from registry_client import Baseline
from sidecar.stats.cbpe import LEAST_ALIKE, MOST_OUTSIDE, estimate, score_counts
from sidecar.stats.support import share_alike, share_outside

POINT = 0.01
ORDERS, MIXED, CHUNKS = 8, 3, 7
BANDS = ((0.0, 0.1), (0.1, 0.2), (0.2, LEAST_ALIKE), (LEAST_ALIKE, 0.5), (0.5, 0.8), (0.8, 1.01))
_DIAMONDS = ("carat", "depth", "table", "x", "y", "z", "color", "clarity")
_FLIGHTS = ("carrier", "origin", "sched_dep_time", "distance", "month", "dep_time", "air_time")
_CLEAR_MILES = 10.0
_WEATHER = ("temp", "dewp", "humid", "wind_speed", "pressure", "hour", "month")


class Judged(msgspec.Struct, frozen=True):
    """One chunk: the share of training's rows that counts, whether ranges alone refuse, and how far off it was."""

    alike: float
    outside: bool
    error: float
    off: bool


def table(orders: int = ORDERS) -> Table:
    """All chunks by how much of training's rows counts for them."""
    every = list(_chunks(orders))
    rows = []
    for low, high in BANDS:
        told = [one for one in every if not one.outside and low <= one.alike < high]
        fate = "refused" if high <= LEAST_ALIKE else "estimated"
        rows.append((f"{low:.0%} to {min(high, 1.0):.0%}", *_figures(told), fate))
    rows.append(("outside what training saw", *_figures([one for one in every if one.outside]), "refused"))
    heads = (
        "training's rows that count, by one feature",
        "chunks",
        "estimates off",
        "off by 5 points more",
        "mean error",
    )
    return Table((*heads, "the sidecar"), rows)


def _figures(told: list[Judged]) -> tuple[str, str, str, str]:
    if not told:
        return "0", "–", "–", "–"
    off = [one for one in told if one.off]
    far = sum(one.error > 5 * POINT for one in off)
    mean = float(np.mean([one.error for one in told]))
    return str(len(told)), f"{len(off)} ({len(off) / len(told):.0%})", str(far), f"{mean:.3f}"


def _chunks(orders: int) -> Iterator[Judged]:
    rng = np.random.default_rng(2)
    for features, truth in _tables():
        ranks = [norm.ppf((rankdata(_numbers(column)) - 0.5) / len(truth)) for column in features.values()]
        for _ in range(orders):
            chosen = rng.choice(len(ranks), size=min(len(ranks), MIXED), replace=False)
            weights = rng.normal(size=len(chosen))
            mixed = sum(weight * ranks[k] for weight, k in zip(weights, chosen, strict=True)) / np.linalg.norm(weights)
            order = np.argsort(mixed + rng.choice([0.3, 1.0, 3.0]) * rng.normal(size=len(truth)), kind="stable")
            yield from _judged({name: column[order] for name, column in features.items()}, truth[order], rng)


def _judged(features: dict[str, Column], truth: NDArray[np.bool_], rng: np.random.Generator) -> Iterator[Judged]:
    rows, inputs = len(truth), inputs_of(features)
    early = np.arange(rows) < rows // 2
    learnt = early & (rng.random(rows) < 0.5)
    scores = expit(inputs @ logistic(inputs[learnt], truth[learnt]))
    served = Served(features, scores, scores >= 0.5, truth)
    baseline = baseline_with_outcomes(served.part(np.flatnonzero(early & ~learnt)))
    size = int(np.clip(rows // 40, 300, 1_000))
    starts = np.arange(rows // 2, rows - size + 1, size)
    for start in starts[:: max(1, len(starts) // (CHUNKS - 1))]:
        yield _one(baseline, served.part(np.arange(start, start + size)))


def _one(baseline: Baseline, chunk: Served) -> Judged:
    pairs = [
        (feature.counts, feature.cells.count(_listed(chunk.features[feature.name])).tolist())
        for feature in baseline.features
    ]
    calibration = baseline.calibration
    if calibration is None:
        raise ValueError("the baseline has no calibration")
    counts = score_counts(calibration.edges, chunk.scores, chunk.said)
    told = estimate(calibration.counts, calibration.positives, counts)
    outside = told.refused is not None or max(share_outside(*pair) for pair in pairs) > MOST_OUTSIDE
    alike = min(share_alike(*pair) for pair in pairs)
    if told.accuracy is None:
        return Judged(alike, outside, 0.0, off=False)
    error = abs(told.accuracy.value - chunk.accuracy)
    return Judged(alike, outside, error, off=error > told.accuracy.high - told.accuracy.value + POINT)


def _tables() -> Iterator[tuple[dict[str, Column], NDArray[np.bool_]]]:
    """Features and a truth to predict."""
    diamonds = data.rdata("ggplot2", "diamonds")
    yield data.chosen(diamonds, _DIAMONDS), diamonds["cut"].astype(str) == "Ideal"
    flights = data.rdata("nycflights13", "flights")
    arrived = np.flatnonzero(~np.isnan(flights["arr_delay"]))[::8]
    yield data.rows_of(data.chosen(flights, _FLIGHTS), arrived), flights["arr_delay"][arrived] > 0
    weather = data.rdata("nycflights13", "weather")
    known = np.all([np.isfinite(weather[name]) for name in (*_WEATHER, "visib")], axis=0)
    yield data.rows_of(data.chosen(weather, _WEATHER), known), weather["visib"][known] < _CLEAR_MILES
    for make in (employment, car_loans, work_from_home, california):
        reference = make().reference
        yield dict(reference.features), reference.truth


def _numbers(column: Column) -> NDArray[np.float64]:
    if column.dtype.kind == "f":
        return np.where(np.isfinite(column), column, np.nanmedian(column))
    return np.unique(column.astype(str), return_inverse=True)[1].astype(np.float64)


def _listed(column: Column) -> Column | list[object]:
    return column if column.dtype.kind == "f" else column.tolist()
