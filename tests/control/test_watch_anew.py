"""What begins anew and what goes on: over reloads, promotions, other challengers and restarts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.control.carryover import Snapshot
from sidecar.control.watch import DeploymentWatch
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
from tests.control.watch_ground import BASELINE, evidence, feed, joined, watch


def saved(watched: DeploymentWatch) -> dict[str, Snapshot]:
    return {snapshot.observer: snapshot for snapshot in watched.snapshots(NOW)}


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
