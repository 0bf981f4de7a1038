"""Experiment A: how often is drift told where there is none? By the whole product, by its statistics, by peers.

Three parts: the product's observer on rows of real tables; its detector and e-process on counts drawn from the same
tables, for more than 10,000 column-days; peers at their defaults on windows of the same pools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bench.drift import peers
from bench.drift.many_streams import ManyStreams, same_as_product
from bench.drift.plan import Plan
from bench.drift.product import TOLERANCE, baseline_of, observer_of, replay
from bench.drift.scores import rate_bound, share_bound
from bench.drift.sources import SOURCES, Source, as_numbers
from bench.programs import Missing
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, spread
from registry_client.baseline import FeatureBaseline
from sidecar.observe.ruler import Ruler
from sidecar.observe.watched_column import ordered_cells
from sidecar.stats.edetector import threshold
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.tolerance import effective_tolerance

Counts = NDArray[np.int64]
BUCKET_S, BUCKETS_A_DAY, BUCKET_ROWS, DAYS = 900.0, 96, 100, 30.0
FEATURES = (5, 50, 200)
BASELINES = (1_000, 5_000, 50_000)
LOOKS, LOOK_ROWS = 1_000, 1_000
WINDOWS = (500, 5_000, 20_000)
REFERENCE_ROWS = 5_000
PEERS = ("evidently", "nannyml", "whylogs", "scouter")
OURS = "the sidecar"


class _Null(msgspec.Struct, frozen=True):
    """One real column without drift: its baseline's counts, the pool's true shares in these cells, the tolerance."""

    counts: Counts
    shares: NDArray[np.float64]
    tolerance: float
    ordered: int


def measure(plan: Plan) -> Result:
    """The experiment."""
    sources = [make() for make in SOURCES]
    rng = np.random.default_rng(20_130_101)
    whole, whole_table = _whole_product(plan, sources, rng)
    detector, detector_table = _detectors(plan, sources, rng)
    looks, looks_table = _any_look(plan, sources, rng)
    peers_table, panel = _peers(plan, sources, rng)
    return Result(
        title="A. False alarms where nothing changed",
        findings=[*whole, *detector, *looks],
        tables=[whole_table, detector_table, looks_table, peers_table],
        panels=[panel],
        note=(
            f"Baseline and live rows are drawn from one pool of real rows. Buckets of {BUCKET_S / 60:.0f} virtual "
            f"minutes with {BUCKET_ROWS} rows, the budget one false alarm in {DAYS:.0f} days for a whole deployment. "
            "Bounds are upper 95 % bounds. Windows of peers: a share of column-windows that alarmed at the peer's "
            "defaults, and of windows in which any column of the table did, which is what an owner gets."
        ),
    )


def _whole_product(plan: Plan, sources: Sequence[Source], rng: np.random.Generator) -> tuple[list[Finding], Table]:
    days, rows, alarms_in_all, days_in_all = plan.pick(1, 15), [], 0, 0.0
    for source in sources:
        alarms, features = 0, 0
        for run in range(plan.pick(1, 3)):
            baseline = baseline_of(source.draw(rng, BASELINES[run % len(BASELINES)]))
            features = len(baseline.features)
            observer = observer_of(baseline, bucket_s=BUCKET_S, false_alarm_days=DAYS)
            for day in range(days):
                live = source.draw(rng, BUCKETS_A_DAY * BUCKET_ROWS)
                changes = replay(
                    observer, live, bucket_rows=BUCKET_ROWS, bucket_s=BUCKET_S, first_bucket=day * BUCKETS_A_DAY
                )
                alarms += sum(not change.ended for _, change in changes)
        lasted = float(days * plan.pick(1, 3))
        rows.append(
            (source.name, str(features), f"{lasted:.0f}", str(alarms), f"{rate_bound(alarms, lasted) * DAYS:.2f}")
        )
        alarms_in_all, days_in_all = alarms_in_all + alarms, days_in_all + lasted
        plan.tell(f"  {source.name}: {alarms} alarms in {lasted:.0f} days with {features} features")
    rate = alarms_in_all / days_in_all * DAYS
    finding = Finding(measure="false alarms in 30 days, whole product", reached=spread([rate]), limit=1.0, unit="")
    columns = ("real rows", "features", "days watched", "false alarms", f"bound for {DAYS:.0f} days")
    return [finding], Table(columns, rows)


def _detectors(plan: Plan, sources: Sequence[Source], rng: np.random.Generator) -> tuple[list[Finding], Table]:
    rows, worst, difference = [], 0.0, 0.0
    for baseline_rows in BASELINES:
        alarms, lasted = dict.fromkeys(FEATURES, 0), 0.0
        for null in _nulls(sources, baseline_rows, rng):
            streams, buckets = plan.pick(4, 16), plan.pick(1, 5) * BUCKETS_A_DAY
            many = ManyStreams(null.counts, null.tolerance, streams, null.ordered)
            highest = np.full(streams, -np.inf)
            for _ in range(buckets):
                highest = np.maximum(highest, many.close(rng.multinomial(BUCKET_ROWS, null.shares, size=streams)))
            lasted += streams * buckets / BUCKETS_A_DAY
            for features in FEATURES:
                limit = math.log(threshold(DAYS, BUCKET_S, features))
                alarms[features] += int(np.count_nonzero(highest >= limit))
            if difference == 0.0:
                difference = same_as_product(
                    null.counts,
                    null.tolerance,
                    rng.multinomial(BUCKET_ROWS, null.shares, size=(150, 2)),
                    null.ordered,
                )
        for features in FEATURES:
            bound = rate_bound(alarms[features], lasted) * DAYS * features
            worst = max(worst, alarms[features] / lasted * DAYS * features)
            counted = (f"{baseline_rows:,}", str(features), f"{lasted:,.0f}", str(alarms[features]), f"{bound:.3f}")
            rows.append(counted)
        plan.tell(f"  baseline of {baseline_rows:,}: {alarms} streams alarmed in {lasted:,.0f} column-days")
    plan.tell(f"  log S of the shortcut differs from EDetector's by at most {difference:.1e}")
    finding = Finding(
        measure="false alarms in 30 days, detector", reached=spread([worst]), limit=1.0, unit="", digits=3
    )
    proof = Finding(
        measure="log S: shortcut of this bench against EDetector, most apart",
        reached=spread([difference]),
        limit=1e-6,
        unit="",
        digits=9,
    )
    columns = ("baseline rows", "features", "column-days", "columns that alarmed", "bound for 30 days and all features")
    return [finding, proof], Table(columns, rows)


def _any_look(plan: Plan, sources: Sequence[Source], rng: np.random.Generator) -> tuple[list[Finding], Table]:
    """The e-process at E >= 100 on accumulating rows, beside chi-square tests at 1 % on the same counts."""
    looks = plan.pick(200, LOOKS)
    rows, worst = [], 0.0
    for baseline_rows in BASELINES:
        found, trials = {"e": 0, "one": 0, "two": 0, "last": 0}, 0
        for null in _nulls(sources, baseline_rows, rng):
            for _ in range(plan.pick(1, 8)):
                trained = rng.multinomial(baseline_rows, null.shares)
                live = np.cumsum(rng.multinomial(LOOK_ROWS, null.shares, size=looks), axis=0)
                tolerance = effective_tolerance(TOLERANCE, baseline_rows, int(np.count_nonzero(trained)))
                test = TolerantTest(trained, null.ordered, apart=True)
                found["e"] += bool(test.log_e(live, tolerance).max() >= math.log(100.0))
                one, two = _chi_squares(trained, live)
                found["one"] += bool(one.min() <= 0.01)
                found["two"] += bool(two.min() <= 0.01)
                found["last"] += bool(two[-1] <= 0.01)
                trials += 1
        worst = max(worst, found["e"] / trials)
        rows.append(
            (
                f"{baseline_rows:,}",
                str(trials),
                f"{found['e'] / trials:.2%} (≤ {share_bound(found['e'], trials):.2%})",
                f"{found['one'] / trials:.0%}",
                f"{found['two'] / trials:.0%}",
                f"{found['last'] / trials:.1%}",
            )
        )
        plan.tell(f"  any of {looks} looks, baseline of {baseline_rows:,}: {found} of {trials}")
    finding = Finding(
        measure=f"share that E ≥ 100 ever, {looks:,} looks", reached=spread([100 * worst]), limit=1.0, unit=" %"
    )
    columns = (
        "baseline rows", "columns", f"E ≥ 100 at any of {looks:,} looks", "one-sample χ² at 1 %, any look",
        "two-sample χ² at 1 %, any look", "two-sample χ², last look only",
    )  # fmt: skip
    return [finding], Table(columns, rows)


def _chi_squares(trained: Counts, live: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P-values at each look: against the baseline as if it were exact, and as two samples."""
    filled = trained > 0
    before, after = trained[filled].astype(np.float64), live[:, filled].astype(np.float64)
    m, n = before.sum(), after.sum(axis=1, keepdims=True)
    expected = n * before / m
    one = chi2.sf(((after - expected) ** 2 / expected).sum(axis=1), filled.sum() - 1)
    pooled = (before + after) / (m + n)
    two = ((after - n * pooled) ** 2 / (n * pooled)).sum(axis=1) + ((before - m * pooled) ** 2 / (m * pooled)).sum(
        axis=1
    )
    return one, chi2.sf(two, filled.sum() - 1)


def _nulls(sources: Sequence[Source], baseline_rows: int, rng: np.random.Generator) -> list[_Null]:
    nulls = []
    for source in sources:
        ruler = Ruler(baseline_of(source.draw(rng, baseline_rows)))
        columns = [ruler.columns[number] for number in ruler.features]
        nulls += [_null(column, source) for column in columns if sum(count > 0 for count in column.counts) > 1]
    return nulls


def _null(feature: FeatureBaseline, source: Source) -> _Null:
    in_pool = feature.cells.count(source.pool[feature.name])
    filled = sum(count > 0 for count in feature.counts)
    return _Null(
        np.asarray(feature.counts, dtype=np.int64),
        in_pool / in_pool.sum(),
        effective_tolerance(TOLERANCE, feature.n, filled),
        ordered_cells(feature),
    )


def _peers(plan: Plan, sources: Sequence[Source], rng: np.random.Generator) -> tuple[Table, Panel]:
    """Every contender on the same windows. A peer is started once: some take longer to import than to judge."""
    windows, sizes = plan.pick(6, 30), WINDOWS[: plan.pick(2, 3)]
    own: dict[int, list[NDArray[np.bool_]]] = {size: [] for size in sizes}
    jobs: list[tuple[str, int, peers.Windows]] = []
    for source in sources[: plan.pick(2, 4)]:
        for size in sizes:
            reference = source.draw(rng, REFERENCE_ROWS)
            live = [source.draw(rng, size) for _ in range(windows)]
            own[size].append(_own_windows(reference, live))
            jobs += [(source.name, size, job) for job in _jobs(reference, live)]
    told: dict[str, dict[int, list[NDArray[np.bool_]]] | str] = {OURS: own}
    for peer in PEERS:
        try:
            judged = peers.judge(peer, [job for _, _, job in jobs])
        except Missing as error:
            told[peer] = str(error)
        else:
            told[peer] = _by_size(jobs, judged)
        plan.tell(f"  windows of {len(jobs)} columns judged by {peer}")
    return _windows_table(told, sizes)


def _by_size(
    jobs: Sequence[tuple[str, int, peers.Windows]], judged: Sequence[peers.Judged | None]
) -> dict[int, list[NDArray[np.bool_]]]:
    """Alarms of shape (columns, windows) for each source, by size."""
    tables: dict[tuple[str, int], list[tuple[bool, ...]]] = {}
    for (source, size, _), one in zip(jobs, judged, strict=True):
        if one is not None:
            tables.setdefault((source, size), []).append(one.alarm)
    found: dict[int, list[NDArray[np.bool_]]] = {}
    for (_, size), alarms in tables.items():
        found.setdefault(size, []).append(np.array(alarms))
    return found


def _windows_table(
    told: dict[str, dict[int, list[NDArray[np.bool_]]] | str], sizes: Sequence[int]
) -> tuple[Table, Panel]:
    rows, bars = [], []
    for name, found in told.items():
        cells = [name]
        for size in sizes:
            alarms = None if isinstance(found, str) else found.get(size)
            if not alarms:
                cells.append("not measured")
                continue
            each = float(np.mean(np.concatenate([part.ravel() for part in alarms])))
            anywhere = 100 * float(np.mean(np.concatenate([part.any(axis=0) for part in alarms])))
            cells.append(f"{each:.1%} / {anywhere:.0f}%")
            if size == sizes[1]:
                bars.append(Bar(name, Spread(anywhere, anywhere, anywhere), ours=name == OURS))
        rows.append(tuple(cells))
    heads = tuple(f"windows of {size:,}: columns / tables" for size in sizes)
    title = f"Windows of {sizes[1]:,} rows without drift in which any column alarms, %"
    return Table(("contender at defaults", *heads), rows), Panel(title, bars)


def _own_windows(
    reference: dict[str, NDArray[np.float64]], live: Sequence[dict[str, NDArray[np.float64]]]
) -> NDArray[np.bool_]:
    """Each window by a fresh observer, as one bucket; shape (columns, windows)."""
    baseline = baseline_of(reference)
    found = []
    for window in live:
        observer = observer_of(baseline, bucket_s=BUCKET_S)
        list(replay(observer, window, bucket_rows=len(next(iter(window.values()))), bucket_s=BUCKET_S))
        found.append([feature.alarm for feature in observer.report().features])
    return np.array(found).T


def _jobs(
    reference: dict[str, NDArray[np.float64]], live: Sequence[dict[str, NDArray[np.float64]]]
) -> list[peers.Windows]:
    jobs = []
    for name, column in reference.items():
        numbers, kind = as_numbers(np.concatenate([column, *(window[name] for window in live)]))
        if len(set(numbers[~np.isnan(numbers)].tolist())) < 2:
            continue
        jobs.append(peers.Windows(numbers[: len(column)], numbers[len(column) :].reshape(len(live), -1), kind))
    return jobs
