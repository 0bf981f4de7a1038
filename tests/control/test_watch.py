from __future__ import annotations

from typing import Any

import msgspec
import pytest

from registry_client.baseline import Baseline
from sidecar.control.carryover import Snapshot
from sidecar.control.decision_row import Joined
from sidecar.control.watch import VOID, DeploymentWatch
from sidecar.observe.quality import RowPrediction
from sidecar.standing import Target
from tests.control.live_samples import (
    NOW,
    answer,
    baseline,
    deployment,
    exchange,
    leg,
    shadow_counts,
    state,
)

BASELINE = baseline()


def watch(found: Baseline | None = BASELINE, **changes: Any) -> DeploymentWatch:
    return DeploymentWatch(deployment(**changes), state(), found, NOW)


def feed(watched: DeploymentWatch, start: int, seconds: int, *, euros: bool = False, **changes: Any) -> int:
    """One exchange of 100 rows a second, each followed by the clock's tick; the next number."""
    for number in range(start, start + seconds):
        watched.fold(exchange(number, rows=100, at=NOW + number, euros=euros, **changes))
        watched.tick(NOW + number + 1)
    return start + seconds


def saved(watched: DeploymentWatch) -> dict[str, Snapshot]:
    return {snapshot.observer: snapshot for snapshot in watched.snapshots(NOW)}


def joined(generation: int, at: float = NOW) -> Joined:
    said = {"3": RowPrediction("1", 0.9), "4": RowPrediction("1", 0.8)}
    return Joined("fraud", "id-1", 0, generation, "3", said, "1", at)


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


# --- what changes begins anew, the rest goes on -----------------------------------------------------------------------


def evidence(watched: DeploymentWatch) -> tuple[int, int, int]:
    """Pairs, rows with an outcome, and sampled rows."""
    return (
        watched.comparisons["4"].report(NOW).pairs,
        watched.paired.paired("3", "4").matched,
        watched.drift().rows_sampled,
    )


@pytest.mark.parametrize(
    ("changed", "after"),
    [
        ({"owner": "somebody else"}, (5, 1, 5)),
        ({"gates": {"pairs": {"min": 1}}}, (5, 1, 5)),
        ({"sampling": {"rows_per_s": 7}}, (5, 1, 5)),
        ({"drift": {"bucket_s": 2}}, (5, 1, 0)),
        ({"score_tolerance": 0.5}, (0, 0, 5)),
        ({"payload": {"prediction": "label"}}, (0, 0, 0)),
        ({"challengers": [{"version": "4", "url": "http://127.0.0.1:9999"}]}, (0, 0, 5)),
        ({"challengers": [{"version": v, "url": f"http://127.0.0.1:80{v}0"} for v in "45"]}, (5, 1, 5)),
    ],
)
def test_a_reload_ends_only_the_evidence_that_it_touches(changed: dict[str, Any], after: tuple[int, int, int]) -> None:
    watched = watch()
    watched.fold(exchange(1, rows=5))
    watched.fold_joined(joined(1))
    assert evidence(watched) == (5, 1, 5)
    watched.begin(deployment(**changed), state(), BASELINE, NOW + 1)
    assert evidence(watched) == after
    assert watched.quality.report("3").matched == 1, "a version's own quality goes on"


def test_another_baseline_begins_all_evidence_anew() -> None:
    watched = watch()
    watched.fold(exchange(1, rows=5))
    watched.fold_joined(joined(1))
    watched.begin(watched.deployment, watched.state, baseline(2), NOW + 1)
    assert evidence(watched) == (0, 0, 0)


def test_another_address_of_the_champion_begins_evidence_on_challengers_anew_but_not_on_inputs() -> None:
    watched = watch()
    watched.fold(exchange(1, rows=5))
    moved = state(generation=2, champion_target=Target("http://127.0.0.1:7"))
    watched.begin(watched.deployment, moved, BASELINE, NOW + 1)
    assert evidence(watched) == (0, 0, 5)


def test_after_a_promotion_the_old_champion_is_watched_as_challenger() -> None:
    watched = watch()
    watched.fold_counts("w0", shadow_counts(100), NOW)
    promoted = state("4", 2, previous="3", previous_target=Target("http://127.0.0.1:8030"))
    watched.begin(watched.deployment, promoted, baseline(2), NOW + 1)
    assert list(watched.comparisons) == ["3"]
    watched.fold_counts("w0", shadow_counts(7, generation=2, champion="4", version="3"), NOW + 2)
    assert watched.comparisons["3"].report(NOW).copies.mirrored == 7


def test_an_alarm_lasts_over_a_transition_until_the_new_watch_has_looked() -> None:
    watched = watch()
    number = feed(watched, 0, 3, euros=True)
    assert "data.broken" in {alarm.kind for alarm in watched.alarms(NOW + number)}
    back = state("4", 2, previous="3", previous_target=Target("http://127.0.0.1:8030"))
    watched.begin(watched.deployment, back, BASELINE, NOW + number)
    assert watched.inputs_known is False
    watched.tick(NOW + number + 5)
    assert watched.inputs_known is False, "without a row there was nothing to look at"
    feed(watched, number + 5, 2, generation=2, champion=leg("4", None))
    assert (watched.inputs_known, watched.alarms(NOW + number + 9)) == (True, ())


def test_a_challenger_that_was_removed_and_added_again_begins_anew_and_its_old_rows_count_no_more() -> None:
    watched = watch()
    watched.fold(exchange(1, rows=5))
    watched.fold_joined(joined(1))
    watched.begin(deployment(challengers=[]), state(), BASELINE, NOW + 1)
    watched.begin(deployment(), state(), BASELINE, NOW + 2)
    assert evidence(watched) == (0, 0, 5)
    watched.fold_joined(joined(1, at=NOW + 1))
    assert watched.paired.paired("3", "4").matched == 0, "its request came before this evidence began"
    watched.fold_joined(joined(1, at=NOW + 3))
    assert watched.paired.paired("3", "4").matched == 1


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


# --- over restarts ----------------------------------------------------------------------------------------------------


def test_a_restart_carries_on_from_the_snapshots_and_counts_nothing_twice() -> None:
    before = watch()
    feed(before, 0, 4, euros=True)
    before.fold(exchange(50, body=b"{"))
    before.fold(exchange(51, shadows=(leg("4", answer(["1"], [0.5], body=b"no")),)))
    before.fold_counts("w0-7", shadow_counts(100, dropped={"connect_error": 5}), NOW)
    after = watch()
    assert after.restore(saved(before)) == ()
    assert after.comparisons["4"].report(NOW) == before.comparisons["4"].report(NOW)
    assert after.drift() == before.drift()
    assert after.undecodable == before.undecodable
    holding, held = after.alarms(NOW + 4), before.alarms(NOW + 4)
    assert [(a.key, a.kind, a.since) for a in holding] == [(a.key, a.kind, a.since) for a in held] != []
    after.fold_counts("w0-7", shadow_counts(130, dropped={"connect_error": 5}), NOW)
    assert after.comparisons["4"].report(NOW).copies.mirrored == 130


def test_a_silent_mirror_is_remembered() -> None:
    before = watch()
    before.fold_counts("w0", shadow_counts(0, dropped={"connect_error": 500}), NOW)
    after = watch()
    after.restore(saved(before))
    assert [alarm.kind for alarm in after.alarms(NOW + 60)] == ["mirror.silent"]


def test_snapshots_of_another_generation_are_not_taken_up() -> None:
    before = watch()
    before.fold(exchange(1))
    after = DeploymentWatch(deployment(), state(generation=2), BASELINE, NOW)
    assert after.restore(saved(before)) == ()
    assert after.comparisons["4"].report(NOW).pairs == 0


def test_drift_against_another_baseline_is_not_taken_up() -> None:
    before = watch()
    before.fold(exchange(1))
    after = watch(baseline(2))
    assert after.restore(saved(before)) == ()
    assert (after.comparisons["4"].report(NOW).pairs, after.drift().rows_seen) == (1, 0)


@pytest.mark.parametrize(
    "challengers",
    [[{"version": "4", "url": "http://127.0.0.1:9999"}], [{"version": "4", "url": "https://127.0.0.1:8041"}]],
)
def test_evidence_from_another_address_is_not_taken_up_though_it_changed_while_nobody_ran(
    challengers: list[dict[str, str]],
) -> None:
    before = watch()
    before.fold(exchange(1))
    after = DeploymentWatch(deployment(challengers=challengers), state(), BASELINE, NOW)
    assert after.restore(saved(before)) == ()
    assert (after.comparisons["4"].report(NOW).pairs, after.drift().rows_seen) == (0, 1)


def test_a_snapshot_of_the_version_before_which_has_no_addresses_is_taken_up() -> None:
    before = watch()
    before.fold(exchange(1))
    snapshots = saved(before)
    memory = msgspec.msgpack.decode(snapshots["memory"].blob)
    del memory["addresses"]
    snapshots["memory"] = msgspec.structs.replace(snapshots["memory"], blob=msgspec.msgpack.encode(memory))
    after = watch()
    assert after.restore(snapshots) == ()
    assert after.comparisons["4"].report(NOW).pairs == 1


@pytest.mark.parametrize("damaged", ["memory", "drift", "comparison/4"])
@pytest.mark.parametrize("blob", [b"", b"\xc1", b"garbage"])
def test_a_damaged_snapshot_costs_only_itself(damaged: str, blob: bytes) -> None:
    before = watch()
    before.fold(exchange(1))
    snapshots = saved(before)
    snapshots[damaged] = msgspec.structs.replace(snapshots[damaged], blob=blob)
    after = watch()
    (fault,) = after.restore(snapshots)
    assert fault.startswith(damaged)
    pairs, sampled = after.comparisons["4"].report(NOW).pairs, after.drift().rows_sampled
    assert (pairs, sampled) == {"memory": (0, 0), "drift": (1, 0), "comparison/4": (0, 1)}[damaged]


def test_without_snapshots_everything_begins() -> None:
    assert watch().restore({}) == ()
