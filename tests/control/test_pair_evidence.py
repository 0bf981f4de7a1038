from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.control.decision_row import Joined
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.quality import RowPrediction
from tests.control.live_samples import NOW, URLS, answer, baseline, deployment, exchange, leg, shadow_counts, state

SEGMENTS: dict[str, Any] = {"comparison": {"segments": [{"feature": "channel", "values": ["web"]}]}}


def body(channel: str) -> bytes:
    tensors = [
        {"name": "amount", "datatype": "FP64", "shape": [1], "data": [1.0]},
        {"name": "channel", "datatype": "BYTES", "shape": [1], "data": [channel]},
    ]
    return json.dumps({"inputs": tensors}).encode()


def watch(**changes: Any) -> DeploymentWatch:
    return DeploymentWatch(deployment(**changes), state(), baseline(), NOW)


def test_rows_are_compared_by_segment_and_carry_their_segments_along() -> None:
    watched = watch(**SEGMENTS)
    rows = [row for number, channel in enumerate(("web", "secret", "web"))
            for row in watched.fold(exchange(number, body=body(channel)))]  # fmt: skip
    assert [row.segments for row in rows] == [("channel=web",), ("channel=other",), ("channel=web",)]
    segments = watched.comparisons["4"].report(NOW + 9).segments
    assert [(one.segment, one.pairs) for one in segments] == [("channel=other", 1), ("channel=web", 2)]


def test_without_a_baseline_segments_are_read_all_the_same() -> None:
    watched = DeploymentWatch(deployment(**SEGMENTS), state(), None, NOW)
    (row,) = watched.fold(exchange(1, body=body("web")))
    assert row.segments == ("channel=web",)


def test_an_outcome_counts_for_its_segment_and_its_delay() -> None:
    watched = watch()
    said = {"3": RowPrediction("1", 0.9), "4": RowPrediction("0", 0.2)}
    for number in range(30):
        joined = Joined("fraud", f"id-{number}", 0, 1, "3", said, "1", NOW + number, None, NOW + number + 600, ("s=a",))
        watched.fold_joined(joined)
    paired = watched.paired.paired("3", "4", NOW + 86_400)
    assert [(one.segment, one.worse) for one in paired.segments] == [("s=a", 30)]
    assert paired.maturity is not None
    assert paired.maturity.after_s == pytest.approx(600, rel=0.02)
    assert paired.maturity.worse == 30


def test_rows_decided_differently_wait_for_a_label_until_their_outcome_comes() -> None:
    watched = watch()
    differs: dict[str, Any] = {"champion": leg("3", answer(["1"], [0.9])), "shadows": (leg("4", answer(["0"], [0.1])),)}
    watched.fold(exchange(1, **differs))
    watched.fold(exchange(2))
    queue = watched.evidence.label_queues.of("4")
    assert [one.request_id for one in queue.report(9).items] == ["id-1"]
    said = {"3": RowPrediction("1", 0.9), "4": RowPrediction("0", 0.1)}
    watched.fold_joined(Joined("fraud", "id-1", 0, 1, "3", said, "1", NOW))
    assert queue.report(9).waiting == 0


def test_a_copy_that_was_due_and_is_not_there_was_dropped() -> None:
    watched = watch()
    watched.fold(exchange(1, shadows=()))
    assert sum(watched.comparisons["4"]._arrivals.to_document().dropped) == 0  # nobody makes copies here
    watched.fold_counts("w", shadow_counts(5), NOW)
    watched.fold(exchange(2, shadows=()))
    watched.fold(exchange(3))
    arrivals = watched.comparisons["4"]._arrivals.to_document()
    assert (sum(arrivals.dropped), sum(arrivals.sent)) == (1, 1)


def test_copies_that_were_answered_and_never_came_are_lost() -> None:
    watched = watch()
    watched.fold(exchange(1))
    watched.fold_counts("w", shadow_counts(10), NOW)
    assert watched.comparisons["4"].report(NOW).copies.lost == 9


def test_a_challenger_at_the_champions_address_tests_the_sidecar_itself() -> None:
    watched = watch(challengers=[{"version": "4", "url": URLS["3"]}])
    assert "champion's own address" in (watched.comparisons["4"].report(NOW).self_test or "")
    for number in range(50):
        watched.fold(exchange(number))
    assert "differ on 0.00%" in (watched.comparisons["4"].report(NOW).self_test or "")
    assert watch().comparisons["4"].report(NOW).self_test is None


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"comparison": {"threshold": 0.4}}, True),
        ({"comparison": {"relative_tolerance": 0.1}}, True),
        (SEGMENTS, False),
        ({"noise_floor": {"share": 0.05}}, False),
    ],
)
def test_what_counts_as_agreement_belongs_to_the_evidence(changes: dict[str, Any], anew: bool) -> None:
    watched = watch()
    watched.fold(exchange(1))
    watched.begin(deployment(**changes), state(), baseline(), NOW + 1)
    assert (watched.comparisons["4"].report(NOW + 2).pairs == 0) == anew


def test_a_restart_keeps_what_was_predicted_and_what_is_to_be_labelled() -> None:
    before, after = watch(), watch()
    differs: dict[str, Any] = {"champion": leg("3", answer(["1"], [0.9])), "shadows": (leg("4", answer(["0"], [0.1])),)}
    for number in range(5):
        before.fold(exchange(number, **differs))
    assert after.restore({snapshot.observer: snapshot for snapshot in before.snapshots(NOW)}) == ()
    assert after.paired.report("3").predicted == 5
    assert after.evidence.label_queues.of("4").report(9).waiting == 5
    assert after.comparisons["4"].report(NOW).confusion == (("1", "0", 5),)


def test_a_champion_that_does_not_work_as_defined_raises_an_alarm_to_whoever_answers_for_it() -> None:
    watched = watch(quality={"metric": "recall", "threshold": 0.9, "owner": "fraud-desk@example.com"})
    for minute in range(60):
        for number in range(20):
            said = {"3": RowPrediction("1" if number % 2 else "0", 0.5)}
            watched.fold_joined(Joined("fraud", f"{minute}-{number}", 0, 1, "3", said, "1", NOW + minute))
        watched.tick(NOW + minute)
    (alarm,) = [one for one in watched.alarms(NOW + 61) if one.key == "quality/3"]
    assert (alarm.kind, alarm.owner, alarm.severity) == ("outcome.degraded", "fraud-desk@example.com", "critical")
    assert "its recall is 0.5" in alarm.says
    again = watch(quality={"metric": "recall", "threshold": 0.9})
    assert again.restore({snapshot.observer: snapshot for snapshot in watched.snapshots(NOW)}) == ()
    assert [one.key for one in again.working.alarms()] == ["quality/3"]
    again.begin(deployment(quality={"metric": "recall", "threshold": 0.3}), state(), baseline(), NOW + 62)
    assert again.working.alarms() == ()
