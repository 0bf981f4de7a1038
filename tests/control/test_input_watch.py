from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sidecar.control.input_watch import InputWatch
from sidecar.control.watch import DeploymentWatch
from sidecar.errors import Refused
from sidecar.observe import joint_watch
from sidecar.observe.severity import Stakes
from sidecar.reports import DriftReport
from sidecar.standing import DeploymentState
from tests.control.live_samples import NOW, answer, baseline, deployment, exchange, leg, state

BASELINE = baseline()


def watch(moment: DeploymentState | None = None, **changes: Any) -> DeploymentWatch:
    return DeploymentWatch(deployment(**changes), moment or state(), BASELINE, NOW)


def feed(watched: DeploymentWatch, seconds: range, *, rows: int = 100, euros: bool = False) -> None:
    for second in seconds:
        watched.fold(exchange(second, rows=rows, at=NOW + second, euros=euros))
        watched.tick(NOW + second + 1)


def test_the_reference_is_frozen_by_itself_when_a_promotions_watch_window_is_over_and_only_once() -> None:
    watched = watch(state(watch_until=NOW + 20.0))
    feed(watched, range(19))
    assert watched.drift("recent").reference_at is None
    feed(watched, range(19, 40))
    frozen = watched.drift("recent").reference_at
    assert frozen is not None
    assert NOW + 20.0 <= frozen <= NOW + 31.0
    assert watched.drift("recent").reference_rows == pytest.approx(2_000, rel=0.6)
    feed(watched, range(40, 70))
    assert watched.drift("recent").reference_at == frozen


@pytest.mark.parametrize("seconds", [40, 70])
def test_no_reference_is_frozen_of_a_broken_feed_or_of_hardly_any_rows(seconds: int) -> None:
    broken, quiet = watch(state(watch_until=NOW + 20.0)), watch(state(watch_until=NOW + 20.0))
    feed(broken, range(seconds), euros=True)
    feed(quiet, range(seconds), rows=1)
    assert broken.drift("recent").reference_at is None
    assert quiet.drift("recent").reference_at is None


def test_without_a_promotion_a_person_freezes_the_reference() -> None:
    watched = watch()
    feed(watched, range(30))
    assert watched.drift("recent").reference_at is None
    watched.freeze_reference(NOW + 30)
    assert watched.drift("recent").reference_at == NOW + 30
    again = watch()
    again.restore({snapshot.observer: snapshot for snapshot in watched.snapshots(NOW + 30)})
    assert again.drift("recent").reference_at == NOW + 30


def test_what_is_no_measure_is_refused_with_a_sentence() -> None:
    with pytest.raises(Refused, match="no baseline"):
        DeploymentWatch(deployment(), state(), None, NOW).freeze_reference(NOW)
    watched = watch()
    with pytest.raises(Refused, match="No row"):
        watched.freeze_reference(NOW)
    feed(watched, range(5), euros=True)
    with pytest.raises(Refused, match="broken"):
        watched.freeze_reference(NOW + 5)


def test_the_report_records_the_rate_of_sampling() -> None:
    watched = watch(sampling={"rows_per_s": 10})
    assert watched.drift().sampling_rate == 1.0
    for number in range(100):
        watched.fold(exchange(number, at=NOW))
    assert watched.drift().sampling_rate == pytest.approx(0.1)


def test_rows_are_kept_only_where_the_settings_say_so() -> None:
    watched = watch(sampling={"keep_rows": 5, "keep_s": 60})
    feed(watched, range(1), rows=8)
    assert [row.row for row in watched.kept_rows.newest(9, NOW + 1)] == [7, 6, 5, 4, 3]
    assert watched.kept_rows.form is not None
    watched.tick(NOW + 100)
    assert len(watched.kept_rows) == 0
    silent = watch()
    feed(silent, range(1), rows=8)
    assert len(silent.kept_rows) == 0
    watched.begin(deployment(sampling={"keep_rows": 0}), watched.state, BASELINE, NOW + 1)
    assert not watched.kept_rows.enabled


def test_what_has_metrics_is_no_part_of_the_watch() -> None:
    watched = watch()
    feed(watched, range(3))
    watched.begin(deployment(drift={"bucket_s": 1, "exported_features": 3}), watched.state, BASELINE, NOW + 4)
    assert watched.watched_rows == 300
    watched.begin(deployment(drift={"bucket_s": 1, "tolerance": 0.1}), watched.state, BASELINE, NOW + 4)
    assert watched.watched_rows == 0


def test_what_is_known_of_harm_reaches_the_alarms() -> None:
    watched = watch()
    asked: list[str] = []

    def stakes(report: DriftReport) -> Stakes:
        asked.append(report.against)
        return Stakes()

    watched.inputs = InputWatch(deployment(), BASELINE, NOW, stakes=stakes)
    feed(watched, range(3), euros=True)
    assert set(asked) == {"training"}


def test_where_only_predictions_moved_the_alarm_says_that_whole_rows_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_watch, "ROWS", 64)
    watched = watch(sampling={"keep_rows": 50, "keep_s": 120})
    for number in range(700):
        at = NOW + number / 7
        scores = np.random.default_rng(number).uniform(size=10) ** (4 if number >= 350 else 1)
        said = leg("3", answer([str(int(score >= 0.5)) for score in scores], scores.tolist()))
        watched.fold(exchange(number, rows=10, at=at, champion=said))
        if number % 7 == 6:
            watched.tick(at)
            if number < 350:
                assert watched.inputs.standing in (None, ())
    (alarm,) = watched.alarms(NOW + 100)
    assert alarm.kind == "prediction.shifted"
    assert "whole rows look like" in alarm.says
    assert "the model or its labels, not the inputs, changed" in alarm.says
    # Neither rows nor their requests; what waits for a label is kept by its request's id, and by no more.
    of_inputs = {snapshot.observer: snapshot.blob for snapshot in watched.snapshots(NOW + 100)}
    assert b"id-699" not in of_inputs["drift"] + of_inputs["truths"] + of_inputs["memory"]


def test_a_clock_that_leaps_and_comes_back_does_not_stop_the_looks() -> None:
    watched = watch()
    feed(watched, range(3))
    watched.tick(NOW + 1e8)
    feed(watched, range(3, 6), euros=True)
    assert "data.broken" in {alarm.kind for alarm in watched.alarms(NOW + 6)}


def test_bodies_that_cannot_be_read_at_all_are_a_broken_feed() -> None:
    watched = watch()
    for second in range(4):
        for number in range(10):
            watched.fold(exchange(10 * second + number, body=b"{", at=NOW + second))
        watched.tick(NOW + second + 1)
    assert {(alarm.key, alarm.kind) for alarm in watched.alarms(NOW + 5)} == {("schema", "data.broken")}
