from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.control.truths import Truths
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.kept_rows import KeptRow
from sidecar.observe.quality import QualityObserver, RowPrediction
from sidecar.records import OfflineRow, Prediction
from tests.control.live_samples import NOW, baseline, deployment, exchange, request_body, state

KEEPS = {"keep_rows": 1_000}


def calibrated(importance: dict[str, float] | None = None) -> Baseline:
    rng = np.random.default_rng(1)
    score = rng.uniform(size=5_000)
    columns = {"amount": np.exp(rng.normal(8.0, 1.0, 5_000)), "score": score, "label": rng.uniform(size=5_000) < score}
    return build_baseline(
        columns, prediction="score", outcome="label", importance=importance, now=datetime(2026, 1, 1, tzinfo=UTC)
    )


def kept(request_id: str, row: int) -> KeptRow | None:
    if not request_id.startswith("id-"):
        return None
    return KeptRow(request_id=request_id, row=row, at=NOW, values={"amount": 5.0}, score=None, label=None)


def rows(number: int, value: float = 500.0) -> list[OfflineRow]:
    return [OfflineRow(f"id-{n}", 0, {"amount": value}) for n in range(number)]


def test_each_row_is_compared_once_and_what_is_not_kept_is_told() -> None:
    truths = Truths("3", baseline(), NOW)
    posted = [*rows(5), OfflineRow("lost", 0, {"amount": 1.0}), OfflineRow("id-1", 1, {"amount": 5.0, "other": 2})]
    first, second = truths.compare(posted, kept), truths.compare(posted, kept)
    assert (first.compared, first.duplicate, first.unknown, first.ignored_values) == (6, 0, 1, 1)
    assert (second.compared, second.duplicate, second.unknown, second.ignored_values) == (0, 6, 1, 0)
    assert truths.skew().rows == 6


def test_an_offline_row_tells_no_value() -> None:
    assert "500" not in repr(rows(1)[0])


def test_rows_that_differ_are_an_alarm_of_the_deployment() -> None:
    watch = DeploymentWatch(deployment(sampling=KEEPS), state(), baseline(), NOW)
    for number in range(40):
        watch.fold(exchange(number))
    posted = []
    for number in range(40):
        row = watch.kept_rows.find(f"id-{number}", 0, NOW + 1)
        assert row is not None
        live = row.values["amount"]
        assert isinstance(live, float)
        posted.append(OfflineRow(row.request_id, 0, {"amount": live * 100}))
    watch.truths.compare(posted, lambda request_id, row: watch.kept_rows.find(request_id, row, NOW + 1))
    (alarm,) = watch.alarms(NOW + 1)
    assert (alarm.key, alarm.kind) == ("rows/amount", "data.broken")
    assert "cents become euros" in alarm.says


def test_estimated_quality_and_importance_are_at_stake() -> None:
    truths = Truths("3", calibrated({"amount": 2.0}), NOW)
    for _ in range(30):
        truths.fold(Prediction(None, tuple(np.random.default_rng(2).uniform(0.45, 0.55, size=100))))
    stakes = truths.stakes(None)
    assert stakes.importance == {"amount": 1.0}
    assert stakes.estimated_loss is not None
    assert stakes.estimated_loss > 0.05
    assert stakes.refused is None
    truths.fold(None)


def test_outcomes_that_become_worse_are_an_alarm_that_says_how_much() -> None:
    truths, quality = Truths("3", None, NOW), QualityObserver()

    def outcomes(right: int, wrong: int) -> None:
        for truth, times in (("1", right), ("0", wrong)):
            for _ in range(times):
                quality.fold("3", RowPrediction("1", None), truth)
        truths.look(quality, NOW + quality.errors("3")[1])

    outcomes(950, 50)
    for _ in range(5):
        outcomes(95, 5)
    assert truths.alarms() == ()
    for _ in range(12):
        outcomes(60, 40)
    (alarm,) = truths.alarms()
    assert (alarm.key, alarm.kind, alarm.severity) == ("outcome/3", "outcome.degraded", "critical")
    assert "version 3 is wrong more often than it was" in alarm.says
    assert "5.0% of its first 1,000" in alarm.says
    assert (truths.stakes(None).realised_loss or 0.0) > 0.1


def test_amounts_that_are_further_off_are_an_alarm_too_and_last_over_a_restart() -> None:
    truths, quality = Truths("3", None, NOW), QualityObserver()
    rng = np.random.default_rng(3)

    def outcomes(error: float, rows: int) -> None:
        for off in rng.exponential(error, rows).tolist():
            quality.fold("3", RowPrediction(None, 250.0), 250.0 + off)
        truths.look(quality, NOW + quality.amounts("3")[0])

    outcomes(10.0, 1_000)
    for _ in range(5):
        outcomes(10.0, 100)
    assert truths.alarms() == ()
    for _ in range(8):
        outcomes(20.0, 100)
    (alarm,) = truths.alarms()
    assert (alarm.key, alarm.kind, alarm.severity) == ("outcome/3", "outcome.degraded", "critical")
    assert "version 3 is further off than it was: a mean absolute error of " in alarm.says
    assert "more for certain" in alarm.says
    assert (truths.stakes(None).realised_loss or 0.0) > 0.1
    again = Truths("3", None, NOW)
    again.restore(truths.snapshot())
    assert again.alarms() == truths.alarms()


def test_it_goes_on_after_a_restart_for_the_same_champion_and_baseline_only() -> None:
    first = Truths("3", baseline(), NOW)
    first.compare(rows(50), kept)
    saved = first.snapshot()
    second, promoted, retrained = Truths("3", baseline(), NOW), Truths("4", baseline(), NOW), Truths("3", None, NOW)
    for truths in (second, promoted, retrained):
        truths.restore(saved)
    assert second.skew() == first.skew()
    assert (promoted.skew().rows, retrained.skew().rows) == (0, 0)
    with pytest.raises(ValueError, match=r"."):
        second.restore(b"garbage")


def test_a_watch_takes_its_truths_over_a_restart() -> None:
    first = DeploymentWatch(deployment(sampling=KEEPS), state(), baseline(), NOW)
    first.fold(exchange(1))
    first.truths.compare([OfflineRow("id-1", 0, {"amount": 1.0})], kept)
    saved = {snapshot.observer: snapshot for snapshot in first.snapshots(NOW)}
    second = DeploymentWatch(deployment(sampling=KEEPS), state(), baseline(), NOW)
    assert second.restore(saved) == ()
    assert second.truths.skew().rows == 1


def test_inputs_that_move_while_the_predictions_do_not_are_a_note_and_a_broken_feed_is_more() -> None:
    rng = np.random.default_rng(4)
    quiet = DeploymentWatch(deployment(), state(), baseline(), NOW)
    broken = DeploymentWatch(deployment(), state(), baseline(), NOW)
    for second in range(12):
        # Two humps that no unit makes of one.
        values = [float(value) for value in np.exp(rng.normal(rng.choice([6.5, 9.2], 100), 0.4))]
        quiet.fold(exchange(second, rows=100, at=NOW + second, body=request_body(values)))
        broken.fold(exchange(second, rows=100, at=NOW + second, euros=True))
        quiet.tick(NOW + second + 1)
        broken.tick(NOW + second + 1)
    (note,) = quiet.alarms(NOW + 13)
    assert (note.kind, note.severity) == ("drift.detected", "info")
    assert note.says.endswith("predictions have not moved")
    assert quiet.drift().severity == "info"
    (amount,) = quiet.drift().features
    assert quiet.drift().weighted == amount.kl_lower > 0
    (alarm,) = broken.alarms(NOW + 13)
    assert (alarm.kind, alarm.severity) == ("data.broken", "warning")
