"""What a deployment's watch makes of exchanges and of the counts of copies."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.control.watch import VOID, DeploymentWatch
from tests.control.live_samples import (
    NOW,
    answer,
    deployment,
    exchange,
    leg,
    shadow_counts,
    state,
)
from tests.control.watch_ground import BASELINE, evidence, feed, joined, watch


def test_an_exchange_becomes_evidence_samples_and_rows_to_keep() -> None:
    watched = watch()
    rows = watched.fold(exchange(1, rows=3))
    assert [(row.row, row.generation) for row in rows] == [(0, 1), (1, 1), (2, 1)]
    assert sorted(rows[0].predictions) == ["3", "4"]
    assert watched.comparisons["4"].report(NOW).pairs == 3
    assert watched.drift().rows_sampled == 3
    assert watched.quality.report("4").predicted == 3


def test_what_comes_under_a_broken_feed_or_another_generation_is_kept_but_is_no_evidence() -> None:
    watched = watch()
    watched.void = True
    assert {row.generation for row in watched.fold(exchange(1))} == {VOID}
    watched.void = False
    assert {row.generation for row in watched.fold(exchange(2, generation=9))} == {9}
    watched.fold_joined(joined(VOID))
    assert watched.comparisons["4"].report(NOW).pairs == 0
    assert watched.paired.paired("3", "4").matched == 0
    assert watched.quality.report("3").matched == 1
    watched.fold_joined(joined(1))
    assert watched.paired.paired("3", "4").matched == 1


@pytest.mark.parametrize(
    ("changes", "requests", "answers", "rows"),
    [
        ({"body": b"{"}, {"json": 1}, {}, 1),
        ({"body": b"\xff\xfe", "content_encoding": "gzip"}, {"encoding": 1}, {}, 1),
        ({"champion": "3", "shadows": (leg("4", answer(["1"], [0.5], body=b"no")),)}, {}, {"json": 1}, 1),
        ({"shadows": (leg("4", answer(["1"], [0.5], body=b"{}")), leg("9", None))}, {}, {"protocol": 1}, 1),
    ],
)
def test_what_cannot_be_read_is_counted_by_reason_and_once(
    changes: dict[str, Any], requests: dict[str, int], answers: dict[str, int], rows: int
) -> None:
    watched = watch()
    watched.fold(exchange(1, **changes))
    assert watched._reader.unread_requests == requests
    assert watched._reader.unread_answers == answers
    report = watched.drift()
    assert (report.undecodable, report.rows_seen) == (1, rows)
    assert sum(watched.undecodable.values()) == 1


def test_without_a_champions_answer_there_is_no_decision() -> None:
    watched = watch()
    assert watched.fold(exchange(1, champion=leg("3", None))) == []
    failed = exchange(2, champion=leg("3", answer(["1"], [0.5], status=500), error="status_5xx"))
    assert watched.fold(failed) == []


def test_without_a_baseline_nothing_is_judged_and_the_report_says_so() -> None:
    watched = watch(None)
    watched.fold(exchange(1, body=b"{"))
    watched.tick(NOW + 5)
    report = watched.drift("recent")
    assert (report.baseline_digest, report.rows_seen, report.undecodable, report.against) == (None, 0, 0, "recent")
    assert watched.alarms(NOW + 5) == ()


def test_rows_beyond_the_budget_are_seen_and_passed_over() -> None:
    watched = watch(sampling={"rows_per_s": 10})
    for number in range(200):
        watched.fold(exchange(number, rows=1, at=NOW))
    report = watched.drift()
    assert report.rows_seen == 200
    assert 0 < report.rows_sampled < 60


def test_drift_is_told_against_training_and_against_the_time_before() -> None:
    watched = watch()
    feed(watched, 0, 20)
    feed(watched, 20, 16, euros=True)
    recent, training = watched.drift("recent"), watched.drift("training")
    assert (recent.against, training.against) == ("recent", "training")
    assert recent.features[0].kl_lower > 0.5
    assert training.features[0].alarm


# --- copies ---------------------------------------------------------------------------------------------------------


def test_cumulative_counts_of_several_workers_add_up_once() -> None:
    watched = watch()
    for worker, totals in (("w0-1", (10, 25, 25)), ("w1-2", (5, 7))):
        for total in totals:
            watched.fold_counts(worker, shadow_counts(total, dropped={"timeout": total}), NOW)
    copies = watched.comparisons["4"].report(NOW).copies
    assert (copies.mirrored, copies.answered, copies.dropped["timeout"]) == (32, 32, 32)


def test_totals_that_went_back_are_another_process_and_never_take_anything_away() -> None:
    watched = watch()
    watched.fold_counts("w0-1", shadow_counts(100), NOW)
    watched.fold_counts("w0-1", shadow_counts(3), NOW)
    assert watched.comparisons["4"].report(NOW).copies.mirrored == 103


def test_counts_of_another_generation_or_version_are_no_evidence() -> None:
    watched = watch()
    watched.fold_counts("w0", shadow_counts(100, generation=2), NOW)
    watched.fold_counts("w0", shadow_counts(100, version="9"), NOW)
    assert watched.comparisons["4"].report(NOW).copies.due == 0


def test_copies_under_a_broken_feed_do_not_count_later_either() -> None:
    watched = watch()
    watched.fold_counts("w0", shadow_counts(10), NOW)
    watched.void = True
    watched.fold_counts("w0", shadow_counts(50), NOW)
    watched.void = False
    watched.fold_counts("w0", shadow_counts(52), NOW)
    assert watched.comparisons["4"].report(NOW).copies.mirrored == 12


def test_memory_of_dead_workers_is_bounded() -> None:
    watched = watch()
    for number in range(1000):
        watched.fold_counts(f"w0-{number}", shadow_counts(1), NOW)
    assert len(watched._counts.seen) == 256
    assert watched.comparisons["4"].report(NOW).copies.mirrored == 1000


def test_health_is_by_the_last_copies() -> None:
    watched = watch()
    assert watched.health("4") == "unknown"
    watched.fold_counts("w0", shadow_counts(10), NOW)
    assert watched.health("4") == "healthy"
    watched.fold_counts("w0", shadow_counts(40, 10, errors={"timeout": 30}), NOW)
    assert watched.health("4") == "failing"


def test_a_mirror_that_delivers_nothing_is_an_alarm() -> None:
    watched = watch(None)
    for second in range(70):
        counts = shadow_counts(0, dropped={"connect_error": second * 2})
        watched.fold_counts("w0", counts, NOW + second)
    (alarm,) = watched.alarms(NOW + 70)
    assert (alarm.kind, alarm.key) == ("mirror.silent", "mirror/4")


def test_how_a_challenger_is_verified_bounded_and_sampled_is_no_evidence() -> None:
    https = {"version": "4", "url": "https://127.0.0.1:8040"}
    watched = DeploymentWatch(deployment(challengers=[https]), state(), BASELINE, NOW)
    watched.fold(exchange(1, rows=5))
    changed = https | {"fraction": 0.5, "max_per_s": 3, "headers": {"x-a": "1"}, "tls": {"ca_file": "/ca.pem"}}
    watched.begin(deployment(challengers=[changed]), state(), BASELINE, NOW + 1)
    assert evidence(watched)[0] == 5


def test_an_open_breaker_is_told_until_its_worker_leaves() -> None:
    watched = watch()
    watched.fold_counts("w0", shadow_counts(10, breaker="open"), NOW)
    assert watched.health("4") == "paused"
    watched.left("w0")
    assert watched.health("4") == "healthy"
    assert watched.health("9") == "unknown"
