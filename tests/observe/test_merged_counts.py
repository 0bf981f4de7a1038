"""A stream split over replicas is judged as if one process had seen it: bit for bit (experiment G)."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.drift import DriftObserver
from sidecar.records import Prediction, Sample
from tests.observe.drift_traffic import BASELINE, BUCKET_S, CREATED, TRAINED, live_rows, observer, told

BUCKETS = 45
BROKEN = range(12, 20)


@cache
def requests() -> list[Sample]:
    """About four thousand requests of 1 to 3 rows; `amount` is broken for eight buckets, one key comes and goes."""
    rng = np.random.default_rng(31)
    made: list[Sample] = []
    for bucket in range(BUCKETS):
        for place in range(60):
            n = int(rng.integers(1, 4))
            rows: dict[str, Any] = live_rows(rng, n)
            if bucket in BROKEN:
                rows["amount"] = rows["amount"] / 100
            if rng.random() < 0.02:
                rows["city"] = [None] * n
            if rng.random() < 0.3:
                rows["extra"] = [1] * n
            if n == 1 and rng.random() < 0.5:
                rows = {name: list(column) for name, column in rows.items()}
            said = Prediction(labels=None, scores=tuple(rng.beta(2, 5, n).tolist()))
            at = BUCKET_S * bucket + BUCKET_S * place / 60
            made.append(Sample(f"{bucket}-{place}", at, n, rows, said))
    return made


def looks(watch: DriftObserver, changes: list[Any]) -> list[Any]:
    return [changes, msgspec.json.encode(watch.report("training")), msgspec.json.encode(watch.report("recent"))]


@cache
def alone() -> list[Any]:
    watch = observer()
    seen = []
    for bucket in range(BUCKETS):
        for request in requests()[60 * bucket : 60 * (bucket + 1)]:
            watch.fold(request)
        seen.append(looks(watch, list(watch.tick(BUCKET_S * (bucket + 1)))))
    return seen


@pytest.mark.parametrize("replicas", [1, 4, 16])
def test_any_number_of_replicas_that_restart_and_are_late_are_judged_as_one(replicas: int) -> None:
    expected = alone()
    assert any(change.key == "feature/amount" for look in expected for change in look[0])
    rng = np.random.default_rng(replicas)
    counters = [observer() for _ in range(replicas)]
    judge = observer()
    late: list[bytes] = []
    for bucket in range(BUCKETS):
        for request in requests()[60 * bucket : 60 * (bucket + 1)]:
            counters[rng.integers(replicas)].fold(request)
        end = BUCKET_S * (bucket + 1)
        restarting = int(rng.integers(replicas))
        again = observer()
        again.restore(counters[restarting].snapshot())
        counters[restarting] = again
        handed = [counter.hand_over(end) for counter in counters]
        if bucket % 3 != 2 and bucket != BUCKETS - 1:
            # Some come buckets later than others: the one that judges waits for them.
            late += handed[::2]
            for counts in handed[1::2]:
                judge.merge(counts)
            continue
        for place in rng.permutation(len(late)):
            judge.merge(late[place])
        late = []
        for place in rng.permutation(len(handed)):
            judge.merge(handed[place])
        if bucket % 2:
            restarted = observer()
            restarted.restore(judge.snapshot())
            judge = restarted
        changes = list(judge.tick(end))
        assert looks(judge, changes)[1:] == expected[bucket][1:], f"after bucket {bucket}"
        since = [each[0] for each in expected[max(0, bucket - 2) : bucket + 1]]
        assert {change.key for change in changes} == {change.key for look in since for change in look}


def test_the_order_in_which_counts_are_added_is_nothing() -> None:
    handed = []
    for part in range(5):
        counter = observer()
        for request in requests()[part::5]:
            counter.fold(request)
        handed.append(counter.hand_over(1e9))
    ways = []
    for order in ((0, 1, 2, 3, 4), (4, 2, 0, 1, 3)):
        judge = observer()
        for place in order:
            judge.merge(handed[place])
        ways.append(judge.snapshot())
    assert ways[0] == ways[1]


def test_counts_that_come_after_their_bucket_was_judged_are_not_lost() -> None:
    counter, judge = observer(), observer()
    counter.fold(requests()[0])
    handed = counter.hand_over(BUCKET_S)
    judge.tick(BUCKET_S * 5)
    judge.merge(handed)
    judge.tick(BUCKET_S * 6)
    assert told(judge.report(), "age").n == requests()[0].rows
    assert judge.report().rows_sampled == requests()[0].rows


def test_what_was_handed_over_is_gone_and_is_never_counted_twice() -> None:
    counter, judge = observer(), observer()
    counter.fold(requests()[0])
    judge.merge(counter.hand_over(BUCKET_S))
    judge.merge(counter.hand_over(BUCKET_S * 2))
    assert judge.report().rows_sampled == judge.report().rows_seen == requests()[0].rows


def test_counts_of_another_baseline_other_buckets_or_damaged_ones_change_nothing() -> None:
    elsewhere = build_baseline({**TRAINED, "score": TRAINED["age"]}, prediction="score", now=CREATED)
    good = observer()
    good.fold(requests()[0])
    handed = good.hand_over(BUCKET_S)
    document = msgspec.msgpack.decode(handed)
    worse = []
    for member, value in (("cells", b"1234"), ("oddities", {99: {}}), ("index", "x")):
        damaged = msgspec.msgpack.decode(handed)
        damaged["buckets"][0][member] = value
        worse.append(msgspec.msgpack.encode(damaged))
    cells = np.frombuffer(document["buckets"][0]["cells"], dtype="<i8").copy()
    cells[0] = -5
    document["buckets"][0]["cells"] = cells.tobytes()
    worse.append(msgspec.msgpack.encode(document))
    judge = observer()
    before = judge.snapshot()
    foreign = observer(baseline=elsewhere).hand_over(60.0), observer(bucket_s=30.0).hand_over(60.0)
    for counts in (b"", b"\x81", handed[:-9], *foreign, *worse):
        with pytest.raises(ValueError, match=r".+"):
            judge.merge(counts)
        assert judge.snapshot() == before


def test_a_counter_that_nobody_asks_stays_bounded() -> None:
    counter = observer()
    for bucket in range(500):
        counter.fold(msgspec.structs.replace(requests()[bucket], at=BUCKET_S * bucket))
    assert len(msgspec.msgpack.decode(counter.hand_over(1e9))["buckets"]) <= 64
    assert BASELINE.digest
