"""Experiment C: how many values until a change of a known size is told, at an equal rate of false alarms?

Three comparisons: at the product's budget of 30 days for 50 features; tuned to one false alarm in 200,000 values,
beside an oracle CUSUM tuned to the same; and peers tuned to the same, each at the window that serves it best for an
effect. Peers' windows begin exactly with the change, which is in their favour. Medians over streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift import power_of_peers
from bench.drift.effects import EFFECTS, QUICK, Effect
from bench.drift.many_streams import ManyStreams
from bench.drift.oracle import cusum, first_at_least, nearest_inside, threshold_beyond, threshold_for
from bench.drift.plan import Plan
from bench.drift.power_of_peers import BASELINE_ROWS, RUN_VALUES, WINDOWS, median, null_of
from bench.drift.product import BUCKET_S, FALSE_ALARM_DAYS, TOLERANCE, baseline_of
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, spread
from sidecar.observe.watched_column import ordered_cells
from sidecar.stats.edetector import threshold
from sidecar.stats.tolerance import effective_tolerance

Floats = NDArray[np.float64]
BUCKET_ROWS, FEATURES = 100, 50
WARM_BUCKETS, MOST_BUCKETS = 80, 300
SHARES_FROM = 2_000_000
SMALL_TOLERANCE = 0.0005


class Delays(msgspec.Struct, frozen=True):
    """Median values from the change to the alarm, infinite where half of the streams never alarmed."""

    budget: float
    tuned: float
    budget_small: float
    tuned_small: float
    oracle_budget: float
    oracle_tuned: float
    alike_budget: float
    alike_tuned: float


def measure(plan: Plan) -> Result:
    """The experiment."""
    rng = np.random.default_rng(3)
    effects = [effect for effect in EFFECTS if not plan.quick or effect.name in QUICK]
    own: dict[str, Delays] = {}
    thresholds: dict[tuple[str, float], float] = {}
    for effect in effects:
        own[effect.name] = _own(plan, effect, rng, thresholds)
        found = own[effect.name]
        plan.tell(
            f"  {effect.name}: {found.budget:,.0f} values at the budget (oracle {found.oracle_budget:,.0f}), "
            f"tuned {found.tuned:,.0f} (oracle {found.oracle_tuned:,.0f})"
        )
    others = power_of_peers.measured(plan, effects, rng)
    return _judged(own, others)


# --- the sidecar and the oracle ---------------------------------------------------------------------------------


def _own(plan: Plan, effect: Effect, rng: np.random.Generator, known: dict[tuple[str, float], float]) -> Delays:
    streams = plan.pick(40, 100)
    column = effect.before(rng, BASELINE_ROWS)
    (feature,) = baseline_of({"x": _typed(column, effect.kind)}).features
    counts = np.asarray(feature.counts, dtype=np.int64)
    before, after = (
        _shares(feature.cells.count(_typed(draw(rng, SHARES_FROM), effect.kind)))
        for draw in (effect.before, effect.after)
    )
    filled, ordered = int(np.count_nonzero(counts)), ordered_cells(feature)
    usual = effective_tolerance(TOLERANCE, BASELINE_ROWS, filled)
    small = effective_tolerance(SMALL_TOLERANCE, BASELINE_ROWS, filled)
    at_budget = math.log(threshold(FALSE_ALARM_DAYS, BUCKET_S, FEATURES))
    found = {}
    for tolerance in (usual, small):
        key = (null_of(effect), tolerance)
        if key not in known:
            null = ManyStreams(counts, tolerance, plan.pick(16, 32), ordered)
            known[key] = threshold_for(_paths(null, before, plan.pick(1_000, 4_000), rng), RUN_VALUES / BUCKET_ROWS)
        many = ManyStreams(counts, tolerance, streams, ordered)
        found[tolerance] = _delays(many, (before, after), {"budget": at_budget, "tuned": known[key]}, rng)
    oracle, alike = _oracle(plan, effect, rng), _alike(plan, (before, after), rng)
    return Delays(
        budget=found[usual]["budget"],
        tuned=found[usual]["tuned"],
        budget_small=found[small]["budget"],
        tuned_small=found[small]["tuned"],
        oracle_budget=oracle[0],
        oracle_tuned=oracle[1],
        alike_budget=alike[0],
        alike_tuned=alike[1],
    )


def _shares(counts: NDArray[np.int64]) -> Floats:
    shares: Floats = counts / counts.sum()
    return shares


def _typed(column: Floats, kind: str) -> NDArray[np.object_] | Floats:
    if kind == "numeric":
        return column
    texts = np.array([f"category {number}" for number in range(64)], dtype=object)
    typed: NDArray[np.object_] = texts[column.astype(np.int64)]
    return typed


def _paths(many: ManyStreams, shares: Floats, buckets: int, rng: np.random.Generator) -> Floats:
    looks = [many.close(rng.multinomial(BUCKET_ROWS, shares, size=many.streams)) for _ in range(buckets)]
    return np.array(looks).T


def _delays(
    many: ManyStreams, pair: tuple[Floats, Floats], limits: Mapping[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """Median values from the change, in buckets, until log S reaches each limit; streams warm up without change."""
    before, after, streams = *pair, many.streams
    for _ in range(WARM_BUCKETS):
        many.close(rng.multinomial(BUCKET_ROWS, before, size=streams))
    found = {name: np.full(streams, np.inf) for name in limits}
    for bucket in range(1, MOST_BUCKETS + 1):
        log_s = many.close(rng.multinomial(BUCKET_ROWS, after, size=streams))
        for name, limit in limits.items():
            late = np.isinf(found[name]) & (log_s >= limit)
            found[name][late] = bucket * BUCKET_ROWS
        if all(np.count_nonzero(np.isinf(delays)) < 0.4 * streams for delays in found.values()):
            break
    return {name: median(delays) for name, delays in found.items()}


def _oracle(plan: Plan, effect: Effect, rng: np.random.Generator) -> tuple[float, float]:
    """Medians of the CUSUM that knows both distributions: at the budget's run, and at RUN_VALUES."""
    streams, steps = plan.pick(50, 200), 20_000
    null = cusum(effect.ratio(effect.before(rng, streams * steps).reshape(streams, steps)))
    budget_run = threshold(FALSE_ALARM_DAYS, BUCKET_S, FEATURES) * BUCKET_ROWS
    limits = threshold_beyond(null, budget_run), threshold_beyond(null, RUN_VALUES)
    changed = effect.ratio(effect.after(rng, streams * steps).reshape(streams, steps))
    # At the change the statistic is where the null left it.
    changed[:, 0] += null[:, -1]
    paths = cusum(changed)
    first = [median(first_at_least(paths, limit).astype(np.float64) + 1) for limit in limits]
    return first[0], first[1]


def _alike(plan: Plan, pair: tuple[Floats, Floats], rng: np.random.Generator) -> tuple[float, float]:
    """As `_oracle`, under the sidecar's terms: what it tolerates is no change, it counts cells, looks once a bucket."""
    before, after = pair
    border = nearest_inside(after, before, TOLERANCE)
    if np.allclose(border, after, rtol=1e-6):
        return math.inf, math.inf
    streams, buckets = plan.pick(50, 200), 300
    ratios = np.log(np.maximum(after, 1e-300) / np.maximum(border, 1e-300))

    def drawn(shares: Floats) -> Floats:
        found: Floats = ratios[rng.choice(len(shares), size=(streams, buckets * BUCKET_ROWS), p=shares)]
        return found

    null = cusum(drawn(before))
    changed = drawn(after)
    changed[:, 0] += null[:, -1]
    looks, paths = (found[:, BUCKET_ROWS - 1 :: BUCKET_ROWS] for found in (null, cusum(changed)))
    runs = threshold(FALSE_ALARM_DAYS, BUCKET_S, FEATURES), RUN_VALUES / BUCKET_ROWS
    delays = [first_at_least(paths, threshold_beyond(looks, run)).astype(np.float64) + 1.0 for run in runs]
    budget, tuned = (median(np.where(found > buckets, np.inf, found * BUCKET_ROWS)) for found in delays)
    return budget, tuned


# --- the verdict ------------------------------------------------------------------------------------------------


def _judged(own: Mapping[str, Delays], others: Mapping[str, dict[str, float] | str]) -> Result:
    tuned = {name: found.tuned for name, found in own.items()}
    ratios = [_ratio(found.tuned, found.oracle_tuned) for found in own.values()]
    findings = [
        Finding(
            measure="values to find 0.3σ, budget of 30 days for 50 features",
            reached=_exactly(own["mean +0.3σ"].budget),
            limit=3_000,
            unit="",
            digits=0,
        ),
        Finding(
            measure="median delay at one false alarm in 200,000 values, median effect",
            against="oracle CUSUM",
            reached=spread(ratios),
            limit=1.5,
        ),
        Finding(
            measure="median delay at one false alarm in 200,000 values, median effect beyond the tolerance",
            against="oracle on the same terms",
            reached=spread([_ratio(one.tuned, one.alike_tuned) for one in own.values() if one.alike_tuned < math.inf]),
            limit=1.5,
        ),
    ]
    for peer, found in others.items():
        if isinstance(found, str):
            findings.append(Finding(measure="median delay, worst effect", against=peer, limit=1.0, skipped=found))
            continue
        apart = [_ratio(tuned[name], delay) for name, delay in found.items() if math.isfinite(min(tuned[name], delay))]
        if apart:
            findings.append(
                Finding(measure="median delay, tuned alike", against=peer, reached=spread(apart), limit=1.0)
            )
    fine = f"… at tolerance {SMALL_TOLERANCE:g}"
    terms = "… on the same terms"
    at_budget = "sidecar, 30-day budget", fine, "oracle, same budget", terms
    heads = "change", *at_budget, "sidecar, tuned", fine, "oracle, tuned", terms
    rows = []
    for name, one in own.items():
        known = (
            *(one.budget, one.budget_small, one.oracle_budget, one.alike_budget),
            *(one.tuned, one.tuned_small, one.oracle_tuned, one.alike_tuned),
        )
        theirs = ["–" if isinstance(peer, str) else _shown(peer.get(name)) for peer in others.values()]
        rows.append((name, *map(_shown, known), *theirs))
    table = Table((*heads, *(f"{peer}, tuned" for peer in others)), rows)
    return Result(
        title="C. Values until a change is told",
        findings=findings,
        tables=[table],
        panels=_panels(own, others),
        note=(
            "Medians of values from the change to the alarm; “never” (100 times as long, in ratios) where half had "
            "none within "
            f"{MOST_BUCKETS * BUCKET_ROWS:,} values. Baseline of {BASELINE_ROWS:,} rows, {BUCKET_ROWS} rows a "
            "bucket. The "
            "budget is one false alarm in 30 days for 50 features, 2.16 million buckets. Tuned: thresholds of all "
            "set so "
            f"that each alarms falsely once in {RUN_VALUES:,} values of one column, as measured. The oracle knows both "
            f"distributions and looks at each value; on the same terms it takes what the sidecar tolerates for no "
            "change, sees only cells, and looks once a bucket. Batch peers have the best of windows of "
            f"{WINDOWS[0]:,} and "
            f"{WINDOWS[1]:,} values for each "
            "effect, begun exactly with the change; river's detectors the best of several settings that keep to the "
            "rate. "
            "The sidecar tolerates 0.005 nats on purpose: a change below that is never told, whatever the rows."
        ),
    )


def _ratio(own: float, theirs: float) -> float:
    """Own delay over a peer's; what one of the two never tells counts as a hundred times as long."""
    return min(100.0, own / theirs) if math.isfinite(theirs) else 0.01


def _panels(own: Mapping[str, Delays], others: Mapping[str, dict[str, float] | str]) -> list[Panel]:
    panels = []
    for name in QUICK:
        if name not in own:
            continue
        bars = [Bar("oracle CUSUM", _exactly(own[name].oracle_tuned), ours=False)]
        bars.append(Bar("the sidecar", _exactly(own[name].tuned), ours=True))
        bars.append(Bar(f"… at tolerance {SMALL_TOLERANCE:g}", _exactly(own[name].tuned_small), ours=True))
        for peer, found in others.items():
            if not isinstance(found, str) and math.isfinite(found.get(name, math.inf)):
                bars.append(Bar(peer, _exactly(found[name]), ours=False))
        finite = [bar for bar in bars if math.isfinite(bar.value.median)]
        panels.append(Panel(f"{name}: median values to an alarm, all tuned alike", finite, digits=0))
    return panels


def _exactly(value: float) -> Spread:
    return Spread(value, value, value)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if math.isfinite(value) else "never"
