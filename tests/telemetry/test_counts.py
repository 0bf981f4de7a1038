from __future__ import annotations

from typing import Any

import msgspec

from sidecar.records import DURATION_BUCKETS_S, RequestCounts, ShadowCounts, WorkerCounts
from sidecar.reports import Copies
from sidecar.telemetry.counts import RequestKey, ShadowKey, WorkerTotals

BUCKETS = len(DURATION_BUCKETS_S) + 1


def counts(worker: str, requests: int = 0, **changed: Any) -> WorkerCounts:
    frame = WorkerCounts(
        worker=worker,
        requests=[RequestCounts("fraud", "3", 200, requests, requests * 0.01, [requests] + [0] * (BUCKETS - 1))],
        shadows=[
            ShadowCounts("fraud", 1, "3", "4", requests, requests, {"status_5xx": 1}, {"queue_full": 2}),
            ShadowCounts("fraud", 2, "4", "3", 5, 5),
        ],
        capture_dropped={"bytes_full": 1},
        refused={"headers": 1},
        overhead_seconds=0.5,
        overhead_count=requests,
        overhead_buckets=[requests],
        connections=3,
        inflight=2,
        held_bytes=100,
        repeats=1,
    )
    return msgspec.structs.replace(frame, **changed)


KEY = RequestKey("fraud", "3", 200)


def test_nothing_is_counted_before_a_worker_spoke() -> None:
    totals = WorkerTotals().totals()
    assert (totals.requests, totals.workers, totals.overhead.count) == ({}, 0, 0)
    assert WorkerTotals().copies("fraud", 1, "4") == Copies()


def test_a_workers_newest_frame_replaces_the_one_before_and_workers_are_summed() -> None:
    workers = WorkerTotals()
    for requests in (1, 7, 10):
        workers.update(counts("a", requests))
    workers.update(counts("b", 5))
    totals = workers.totals()
    assert totals.requests[KEY].count == 15
    assert totals.requests[KEY].buckets[0] == 15
    assert totals.shadows[ShadowKey("fraud", 1, "3", "4")] == Copies(
        mirrored=15, answered=15, errors={"status_5xx": 2}, dropped={"queue_full": 4}
    )
    assert (totals.overhead.count, totals.overhead.buckets[0]) == (15, 15)
    assert (totals.workers, totals.connections, totals.held_bytes, totals.repeats) == (2, 6, 200, 2)
    assert (totals.capture_dropped, totals.refused) == ({"bytes_full": 2}, {"headers": 2})


def test_of_pressure_and_lag_the_worst_worker_counts_and_sacrifices_are_summed() -> None:
    workers = WorkerTotals()
    workers.update(counts("w0", pressure=0.5, loop_lag_s=0.2, sacrificed={"keep_alive": 2}))
    workers.update(counts("w1", pressure=0.9, loop_lag_s=0.1, sacrificed={"keep_alive": 1, "requests": 1}))
    both = workers.totals()
    assert (both.pressure, both.loop_lag_s, both.sacrificed) == (0.9, 0.2, {"keep_alive": 3, "requests": 1})

    workers.ended("w1")
    assert (workers.totals().pressure, workers.totals().sacrificed) == (0.5, {"keep_alive": 3, "requests": 1})


def test_lines_that_were_not_logged_are_summed_and_stay_when_their_worker_goes() -> None:
    workers = WorkerTotals()
    workers.update(counts("w0", access_log_dropped={"buffer_full": 2}))
    workers.update(counts("w1", access_log_dropped={"buffer_full": 1, "write_failed": 4}))
    workers.ended("w1")

    assert workers.totals().access_log_dropped == {"buffer_full": 3, "write_failed": 4}


def test_a_dead_workers_totals_stay_and_its_gauges_go() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10))
    workers.ended("a")
    workers.ended("a")
    workers.ended("never there")
    workers.update(counts("a-2", 1))
    totals = workers.totals()
    assert totals.requests[KEY].count == 11
    assert (totals.workers, totals.connections) == (1, 3)
    assert workers.copies("fraud", 1, "4").mirrored == 11


def test_a_new_worker_id_without_a_goodbye_loses_nothing() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10))
    workers.update(counts("a-2", 1))
    assert workers.totals().requests[KEY].count == 11


def test_a_worker_that_began_again_under_its_name_never_lets_totals_go_back() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10))
    workers.update(counts("a", 2))
    workers.update(counts("a", 3))
    assert workers.totals().requests[KEY].count == 13


def test_copies_are_of_one_generation_and_version() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10))
    assert workers.copies("fraud", 2, "3") == Copies(mirrored=5, answered=5)
    assert workers.copies("fraud", 1, "4").due == 12
    assert workers.copies("fraud", 2, "4") == Copies()
    assert workers.copies("other", 1, "4") == Copies()


def test_reading_the_totals_twice_gives_the_same() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10))
    workers.ended("a")
    workers.update(counts("b", 1))
    assert workers.totals() == workers.totals()


def test_a_worker_that_comes_again_after_it_left_is_counted_once() -> None:
    totals = WorkerTotals()
    totals.update(counts("w0", shadows=[ShadowCounts("fraud", 1, "3", "4", mirrored=10)]))
    totals.ended("w0")
    assert totals.totals().workers == 0
    assert totals.copies("fraud", 1, "4").mirrored == 10
    totals.update(counts("w0", shadows=[ShadowCounts("fraud", 1, "3", "4", mirrored=15)]))
    assert totals.totals().workers == 1
    assert totals.copies("fraud", 1, "4").mirrored == 15
    totals.ended("w0")
    totals.update(counts("w0", shadows=[ShadowCounts("fraud", 1, "3", "4", mirrored=2)]))
    assert totals.copies("fraud", 1, "4").mirrored == 17, "another process under the same name"


def test_memory_of_workers_that_left_is_bounded_and_loses_nothing() -> None:
    totals = WorkerTotals()
    for number in range(500):
        totals.update(counts(f"w{number}", shadows=[ShadowCounts("fraud", 1, "3", "4", mirrored=1)]))
        totals.ended(f"w{number}")
    assert totals.copies("fraud", 1, "4").mirrored == 500
    assert len(totals._left) == 64
