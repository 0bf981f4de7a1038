from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.flights.cleaning import FEATURES, NO_OUTCOME, Flights, clean
from examples.flights.conclusions import Story, conclusions
from examples.flights.configuration import bucket_s, configuration
from examples.flights.data import WHEEL, DataFault, fetch
from examples.flights.months import gained, month_of
from examples.flights.readings import Alarm, Gate, Quality, Reading
from examples.flights.schedule import (
    Batch,
    Clock,
    batches_of,
    inference_inputs,
    landings_of,
    month_ends,
)
from sidecar.config_file import load

AIRPORTS = {
    "faa": np.array(["LAX", "PHX", "IAH", "MIA"], dtype=object),
    "tz": np.array([-8, -7, -6, -5]),
    "dst": np.array(["A", "N", "A", "A"], dtype=object),
}
ROW: dict[str, Any] = {
    "year": 2013,
    "month": 7,
    "day": 1,
    "hour": 9,
    "minute": 0,
    "time_hour": "2013-07-01T13:00:00Z",
    "sched_arr_time": 1200,
    "arr_delay": 0.0,
    "carrier": "UA",
    "origin": "EWR",
    "dest": "MIA",
    "distance": 1085,
}


def table(*changes: dict[str, Any]) -> dict[str, Any]:
    """The published columns, with a row for each set of changes."""
    rows = [ROW | change for change in changes]
    return {
        name: np.array([row[name] for row in rows], dtype=object if isinstance(value, str) else None)
        for name, value in ROW.items()
    }


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("change", "minutes", "landing"),
    [
        pytest.param({}, 180, "2013-07-01T16:00:00Z", id="same time zone"),
        pytest.param({"arr_delay": 61.0}, 180, "2013-07-01T17:01:00Z", id="late"),
        pytest.param({"arr_delay": -20.0}, 180, "2013-07-01T15:40:00Z", id="early"),
        pytest.param({"dest": "IAH"}, 240, "2013-07-01T17:00:00Z", id="an hour behind, both in summer time"),
        pytest.param({"dest": "PHX"}, 360, "2013-07-01T19:00:00Z", id="Phoenix keeps no summer time"),
        pytest.param(
            {"dest": "PHX", "month": 1, "time_hour": "2013-01-07T14:00:00Z"},
            300,
            "2013-01-07T19:00:00Z",
            id="Phoenix in winter",
        ),
        pytest.param({"dest": "SJU"}, 180, "2013-07-01T16:00:00Z", id="an airport that the table lacks"),
        pytest.param(
            {"hour": 23, "minute": 30, "time_hour": "2013-07-02T03:00:00Z", "sched_arr_time": 231},
            181,
            "2013-07-02T06:31:00Z",
            id="over midnight",
        ),
        pytest.param(
            {"hour": 22, "time_hour": "2013-07-02T02:00:00Z", "sched_arr_time": 2355, "arr_delay": 200.0},
            115,
            "2013-07-02T07:15:00Z",
            id="delayed over midnight",
        ),
        pytest.param(
            {"dest": "LAX", "hour": 21, "time_hour": "2013-07-02T01:00:00Z", "sched_arr_time": 15},
            375,
            "2013-07-02T07:15:00Z",
            id="over midnight and three zones",
        ),
    ],
)
def test_a_flight_lands_when_its_plane_did(change: dict[str, Any], minutes: int, landing: str) -> None:
    flights = clean(table(change), AIRPORTS)
    assert flights.features["scheduled_minutes"].tolist() == [minutes]
    assert flights.lands_s.tolist() == [at(landing)]


@pytest.mark.parametrize(("delay", "late"), [(15.0, 0), (16.0, 1), (-5.0, 0), (np.nan, NO_OUTCOME)])
def test_late_is_more_than_fifteen_minutes_and_who_never_came_has_no_outcome(delay: float, late: int) -> None:
    flights = clean(table({"arr_delay": delay}), AIRPORTS)
    assert flights.late.tolist() == [late]
    assert (flights.lands_s[0] == NO_OUTCOME) == (late == NO_OUTCOME)


def test_features_are_those_known_before_departure_in_order() -> None:
    flights = clean(table({"minute": 45, "sched_arr_time": 1215}), AIRPORTS)
    assert list(flights.features) == list(FEATURES)
    assert {name: column.tolist()[0] for name, column in flights.features.items()} == {
        "carrier": "UA",
        "origin": "EWR",
        "destination": "MIA",
        "weekday": "Monday",
        "departure_hour": 9.75,
        "arrival_hour": 12.25,
        "scheduled_minutes": 150.0,
        "distance_miles": 1085.0,
    }


def test_the_weekday_is_the_local_one_although_it_is_tomorrow_in_utc() -> None:
    flights = clean(table({"hour": 23, "time_hour": "2013-07-02T03:00:00Z", "sched_arr_time": 130}), AIRPORTS)
    assert flights.features["weekday"].tolist() == ["Monday"]
    assert flights.month.tolist() == [7]


def test_rows_are_ordered_by_departure_with_all_their_columns() -> None:
    flights = clean(
        table(
            {"hour": 11, "time_hour": "2013-07-01T15:00:00Z", "carrier": "B6", "arr_delay": 30.0},
            {"carrier": "DL"},
            {"minute": 5, "carrier": "AA", "arr_delay": np.nan},
        ),
        AIRPORTS,
    )
    assert flights.features["carrier"].tolist() == ["DL", "AA", "B6"]
    assert flights.late.tolist() == [0, NO_OUTCOME, 1]
    assert np.all(np.diff(flights.departs_s) > 0)


def test_an_airport_of_which_nobody_knows_the_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="XYZ"):
        clean(table({"dest": "XYZ"}), AIRPORTS)


def three() -> Flights:
    """Two flights within the same ten minutes, of which the first lands last, and a cancelled one later."""
    return clean(
        table(
            {"minute": 1, "arr_delay": 90.0},
            {"minute": 9},
            {"minute": 30, "arr_delay": np.nan},
        ),
        AIRPORTS,
    )


def test_flights_of_ten_minutes_are_one_request_and_outcomes_come_in_the_order_of_landing() -> None:
    flights = three()
    batches = batches_of(flights)
    assert [(batch.request_id, batch.first, batch.last) for batch in batches] == [
        ("2013-07-01T13:00Z", 0, 2),
        ("2013-07-01T13:30Z", 2, 3),
    ]
    assert [(one.request_id, one.row, one.late) for one in landings_of(flights, batches)] == [
        ("2013-07-01T13:00Z", 1, 0),
        ("2013-07-01T13:00Z", 0, 1),
    ]


def test_no_request_is_later_than_a_departure_in_it() -> None:
    flights = three()
    for batch in batches_of(flights):
        assert np.all(batch.due_s <= flights.departs_s[batch.first : batch.last])


def test_flights_out_of_order_are_refused() -> None:
    flights = three()
    with pytest.raises(ValueError, match="order"):
        batches_of(replace(flights, departs_s=flights.departs_s[::-1]))


def test_a_request_has_a_tensor_for_each_feature_with_a_value_for_each_flight() -> None:
    inputs = inference_inputs(three(), Batch("x", 0, 0, 2))
    assert [tensor["name"] for tensor in inputs] == list(FEATURES)
    assert [tensor["shape"] for tensor in inputs] == [[2, 1]] * len(FEATURES)
    assert inputs[0] == {"name": "carrier", "shape": [2, 1], "datatype": "BYTES", "data": ["UA", "UA"]}
    assert inputs[5]["data"] == [12.0, 12.0]


def test_the_virtual_clock_runs_both_ways() -> None:
    clock = Clock(began_wall_s=1_000.0, began_s=at("2013-07-01T04:00:00Z"), day_s=2.0)
    assert clock.wall_s(at("2013-07-02T16:00:00Z")) == 1_003.0
    assert clock.virtual_s(1_003.0) == at("2013-07-02T16:00:00Z")


def test_months_end_in_the_night_after_their_last_day() -> None:
    assert list(month_ends(11, 12)) == [
        (11, at("2013-12-01T05:00:00Z")),
        (12, at("2014-01-01T05:00:00Z")),
    ]


def test_the_configuration_is_one_that_the_sidecar_takes(tmp_path: Path) -> None:
    text = configuration(
        folder=tmp_path, day_s=2.0, data_port=8080, admin_port=8081, champion_port=8000, challenger_port=8001
    )
    (tmp_path / "config.yaml").write_text(text)
    deployment = load(tmp_path / "config.yaml").deployments[0]
    assert deployment.drift.bucket_s == bucket_s(2.0) == 13.5
    assert deployment.drift.false_alarm_days * 86_400 / 2.0 == pytest.approx(365, rel=1e-3)
    assert deployment.gates.duration is not False
    assert deployment.gates.duration.min_hours * 3600 == pytest.approx(14.0, rel=1e-3)


def reading(matched: int, accuracy: float, pairs: int, agreement: float, *alarms: Alarm) -> Reading:
    quality = Quality(matched, {"accuracy": accuracy})
    return Reading(
        champion=quality,
        challenger=quality,
        pairs=pairs,
        agreement=agreement,
        mirrored=pairs,
        due=pairs,
        rows_watched=pairs,
        rows_seen=pairs,
        severity="none",
        features=(),
        alarms=alarms,
        verdict="fail",
        gates=(
            Gate("pairs", "pass", "1", "1", ""),
            Gate("outcome", "off", "–", "–", ""),
            Gate("inputs", "fail", "1", "0", ""),
        ),
    )


def alarm(identity: str, kind: str) -> Alarm:
    return Alarm(identity, kind, "warning", "says", "action", "2026-01-01T00:00:00Z", ended=False)


def test_a_month_is_the_difference_of_two_readings() -> None:
    before = reading(100, 0.5, 200, 1.0, alarm("a", "drift.detected"), alarm("b", "drift.detected"))
    after = reading(
        200, 0.75, 400, 0.75, alarm("a", "drift.detected"), alarm("b", "data.broken"), alarm("c", "drift.detected")
    )
    month = month_of(8, before, after, (210, 100, 25))
    assert month.champion == {"accuracy": 1.0}
    assert (month.pairs, month.agreement) == (200, 0.5)
    assert month.late_share == 0.25
    assert [one.id for one in month.alarms] == ["b", "c"]
    assert month.gates == {"inputs": "fail"}


def test_the_first_month_has_nothing_before_it_and_a_month_without_pairs_has_no_agreement() -> None:
    first = reading(10, 0.5, 20, 0.25)
    assert month_of(7, None, first, (20, 10, 5)).agreement == 0.25
    still = month_of(8, first, first, (0, 0, 0))
    assert still.agreement is None
    assert still.champion == gained(first.champion, first.champion) == {}


def told(*months: tuple[Reading, int], requests: int) -> str:
    readings = [None, *(after for after, _ in months)]
    story = Story(
        months=tuple(
            month_of(number, before, after, (landed, landed, landed // (number - 4)))
            for number, (before, (after, landed)) in enumerate(zip(readings, months, strict=False), 7)
        ),
        last=months[-1][0],
        clock=Clock(0.0, 0, 2.0),
        requests=requests,
        behind_s=0.0,
    )
    return "\n".join(conclusions(story))


def measured(matched: int, loss: float, challenger_loss: float, *alarms: Alarm) -> Reading:
    """A reading in which as many rows have outcomes as were copied and watched."""
    metrics = {"accuracy": 0.7, "brier": 0.2}
    return replace(
        reading(matched, 0.7, matched, 0.9, *alarms),
        champion=Quality(matched, metrics | {"log_loss": loss}),
        challenger=Quality(matched, metrics | {"log_loss": challenger_loss}),
    )


def test_the_conclusions_name_the_month_in_which_the_challenger_is_no_better() -> None:
    text = told((measured(100, 0.5, 0.4), 100), (measured(200, 0.5, 0.5), 100), requests=200)
    assert "lower in 1 of 2 months, not in August" in text
    assert "From 25.0% late landings in August to 33.0% in July" in text
    assert "Nothing was lost" in text
    assert "`inputs` says fail" in text


def test_the_conclusions_do_not_hide_a_lost_copy_or_a_wrong_alarm() -> None:
    text = told((measured(100, 0.5, 0.4, alarm("a", "data.broken")), 100), requests=101)
    assert "Something was lost" in text
    assert "100 of 101 requests" in text
    assert "1 of 1 were called `data.broken`, which is wrong" in text


def test_a_wheel_with_other_bytes_is_refused_before_anything_is_read_from_it(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"PK, but not the one")
    with pytest.raises(DataFault, match="SHA-256"):
        fetch(tmp_path)
