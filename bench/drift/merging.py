"""Experiment G: a stream split over replicas at random, with restarts and late hand-overs, gives the same to the bit.

Real flights with a fault from the middle on, so that alarms, causes and onsets are compared too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from bench.drift import data
from bench.drift.plan import Plan
from bench.drift.product import BEGIN_S, BUCKET_S, baseline_of, observer_of, sample_of
from bench.drift.sources import flights_of_january
from bench.result import Finding, Result, Table
from bench.spread import spread
from registry_client import Baseline
from sidecar.records import Sample
from sidecar.reports import AlarmChange, DriftReport

REPLICAS = (1, 4, 16)
LATEST_BUCKETS = 3
REQUEST_ROWS = 20


class _Judged(msgspec.Struct, frozen=True):
    training: DriftReport
    recent: DriftReport
    alarms: tuple[tuple[object, ...], ...]


def measure(plan: Plan) -> Result:
    """The experiment."""
    rng = np.random.default_rng(11)
    source = flights_of_january()
    baseline = baseline_of(source.draw(rng, 5_000))
    buckets = _buckets(plan, rng)
    alone = _alone(baseline, buckets)
    rows, different = [], 0
    for replicas in REPLICAS:
        for restarts in (False, True):
            split = _split(baseline, buckets, replicas, np.random.default_rng(replicas), restarts=restarts)
            same = (split.training == alone.training, split.recent == alone.recent, split.alarms == alone.alarms)
            different += not all(same)
            told = ["the same" if one else "**different**" for one in same]
            rows.append((str(replicas), "with restarts, late" if restarts else "–", *told))
            plan.tell(f"  {rows[-1]}")
    return Result(
        title="G. Replicas add up",
        findings=[
            Finding(
                measure="splits over replicas that differ in any bit",
                reached=spread([different]),
                limit=0,
                unit="",
                digits=0,
            )
        ],
        tables=[Table(("replicas", "", "report against training", "report against recent", "alarms in order"), rows)],
        note=(
            f"{len(buckets)} buckets of real flights, in requests of {REQUEST_ROWS} rows routed at random; in the "
            "second "
            f"half `distance` comes in kilometres: {len(alone.alarms)} changes of alarms. With restarts, a replica's "
            "snapshot is taken and restored at random, and its counts reach the judge up to "
            f"{LATEST_BUCKETS} buckets late; an alarm's sentence tells the size by what has arrived, so alarms are "
            "compared by key, kind, severity and onset, reports with every bit."
        ),
    )


def _told(changes: Sequence[AlarmChange]) -> tuple[tuple[object, ...], ...]:
    """Alarms without their sentences: these tell the size by what has arrived, and late rows have by then."""
    return tuple((one.key, one.kind, one.severity, one.since, one.ended) for one in changes)


def _buckets(plan: Plan, rng: np.random.Generator) -> list[list[Sample]]:
    source, buckets = flights_of_january(), []
    many = plan.pick(40, 120)
    for number in range(many):
        samples = []
        for request in range(int(rng.integers(3, 8))):
            rows = source.draw(rng, REQUEST_ROWS)
            if number >= many // 2:
                rows = {**rows, "distance": rows["distance"] * 1.609344}
            at = BEGIN_S + number * BUCKET_S + float(rng.uniform(0.1, BUCKET_S - 0.1))
            samples.append(sample_of(data.rows_of(rows, np.arange(REQUEST_ROWS)), at, None, f"r{number}-{request}"))
        buckets.append(samples)
    return buckets


def _alone(baseline: Baseline, buckets: Sequence[Sequence[Sample]]) -> _Judged:
    observer, changes = observer_of(baseline), list[AlarmChange]()
    for number, samples in enumerate(buckets, 1):
        for sample in samples:
            observer.fold(sample)
        changes += observer.tick(BEGIN_S + number * BUCKET_S)
    return _Judged(observer.report(), observer.report("recent"), _told(changes))


def _split(
    baseline: Baseline,
    buckets: Sequence[Sequence[Sample]],
    replicas: int,
    rng: np.random.Generator,
    *,
    restarts: bool,
) -> _Judged:
    """The same samples by way of replicas, whose hand-overs a judge adds up."""
    judge, changes = observer_of(baseline), list[AlarmChange]()
    members = [observer_of(baseline) for _ in range(replicas)]
    late: list[bytes] = []
    waiting: list[float] = []
    for number, samples in enumerate(buckets, 1):
        now = BEGIN_S + number * BUCKET_S
        for sample in samples:
            members[int(rng.integers(replicas))].fold(sample)
        for place, member in enumerate(members):
            if restarts and rng.random() < 0.1:
                fresh = observer_of(baseline)
                fresh.restore(member.snapshot())
                members[place] = fresh
            late.append(members[place].hand_over(now))
        waiting.append(now)
        if restarts and number % LATEST_BUCKETS and number < len(buckets):
            continue
        for handed in late:
            judge.merge(handed)
        for ended in waiting:
            changes += judge.tick(ended)
        late, waiting = [], []
    return _Judged(judge.report(), judge.report("recent"), _told(changes))
