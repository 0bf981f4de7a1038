"""From the published tables to flights: what was known before departure, what became of them, and when.

Keeps: no feature needs anything that happens after the scheduled departure; rows are in the order of departure.
A cancelled or diverted flight never arrives where it should, so it has no outcome. The month and the day of the
year are no features: the models never saw July. Pure. Called by the main program; `train` and `traffic` read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LATE_MINUTES = 15
NO_OUTCOME = -1
DAY_MINUTES = 24 * 60
NEW_YORK_WINTER_HOURS = -5

# In the order of the models' inputs, with their datatypes in the Open Inference Protocol.
FEATURES = {
    "carrier": "BYTES",
    "origin": "BYTES",
    "destination": "BYTES",
    "weekday": "BYTES",
    "departure_hour": "FP32",  # local, by schedule; 13.5 is half past one
    "arrival_hour": "FP32",  # local at the destination, by schedule
    "scheduled_minutes": "FP32",  # gate to gate
    "distance_miles": "FP32",
}
WEEKDAYS = np.array(["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"])  # 1970-01-01 first

# Airports that the airports table lacks: Puerto Rico and the Virgin Islands, four hours behind UTC all year.
ATLANTIC = {"SJU": -4, "BQN": -4, "STT": -4, "PSE": -4}

Column = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flights:
    """Flights by departure; every array has one value a flight.

    Attributes:
        departs_s: scheduled departure, seconds since the epoch.
        lands_s: the actual arrival at the gate, seconds since the epoch; NO_OUTCOME for flights that never came.
        late: 1 when more than 15 minutes late, 0 when not, NO_OUTCOME as above.
        month: of the scheduled departure, local, 1 to 12.
        features: by name, in the order of FEATURES.
    """

    departs_s: Integers
    lands_s: Integers
    late: Integers
    month: Integers
    features: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.departs_s)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Flights:
        """Only the chosen flights, in the same order."""
        return Flights(
            departs_s=self.departs_s[chosen],
            lands_s=self.lands_s[chosen],
            late=self.late[chosen],
            month=self.month[chosen],
            features={name: column[chosen] for name, column in self.features.items()},
        )


def clean(flights: Mapping[str, Column], airports: Mapping[str, Column]) -> Flights:
    """Flights out of the published columns. ValueError for a destination whose time zone nobody knows."""
    local_minute = (flights["hour"] * 60 + flights["minute"]).astype(np.int64)
    # `time_hour` is the scheduled hour in UTC, so its distance to `hour` is New York's offset on that day.
    utc_hour = np.array([str(moment)[:13] for moment in flights["time_hour"]], dtype="datetime64[h]").astype(np.int64)
    departs_s = utc_hour * 3600 + flights["minute"].astype(np.int64) * 60
    offset_hours = (flights["hour"].astype(np.int64) - utc_hour + 12) % 24 - 12
    there_hours = offsets_there(flights["dest"], offset_hours, airports)
    arrival = flights["sched_arr_time"].astype(np.int64)
    arrival_minute = arrival // 100 * 60 + arrival % 100
    scheduled = scheduled_minutes(local_minute - offset_hours * 60, arrival_minute - there_hours * 60)
    delay = flights["arr_delay"].astype(np.float64)
    arrived = np.isfinite(delay)
    lands_s = departs_s + (scheduled + np.where(arrived, delay, 0.0).astype(np.int64)) * 60
    local_day = (departs_s + offset_hours * 3600) // 86_400
    features: dict[str, Column] = {
        "carrier": flights["carrier"].astype(np.str_),
        "origin": flights["origin"].astype(np.str_),
        "destination": flights["dest"].astype(np.str_),
        "weekday": WEEKDAYS[local_day % 7],
        "departure_hour": (local_minute / 60).astype(np.float32),
        "arrival_hour": (arrival_minute / 60).astype(np.float32),
        "scheduled_minutes": scheduled.astype(np.float32),
        "distance_miles": flights["distance"].astype(np.float32),
    }
    order = np.argsort(departs_s, kind="stable")
    return Flights(
        departs_s=departs_s[order],
        lands_s=np.where(arrived, lands_s, NO_OUTCOME)[order],
        late=np.where(arrived, delay > LATE_MINUTES, NO_OUTCOME).astype(np.int64)[order],
        month=flights["month"].astype(np.int64)[order],
        features={name: features[name][order] for name in FEATURES},
    )


def scheduled_minutes(departs_utc_minute: Integers, arrives_utc_minute: Integers) -> Integers:
    """Minutes from gate to gate, from two times of day in UTC.

    The tables say when a plane lands but not on which day. No flight here takes a day, so the next such time is it.

    >>> scheduled_minutes(np.array([23 * 60]), np.array([2 * 60])).tolist()
    [180]
    """
    return (arrives_utc_minute - departs_utc_minute) % DAY_MINUTES


def offsets_there(destination: Column, offset_hours: Integers, airports: Mapping[str, Column]) -> Integers:
    """Hours from UTC at each flight's destination, on its day. ValueError for an unknown destination.

    `airports` has the winter offset and whether summer time is kept ("A" as in New York); that it is summer shows
    in New York's own `offset_hours`. Both change their clocks on the same days.
    """
    winter = {str(code): int(tz) for code, tz in zip(airports["faa"], airports["tz"], strict=True)} | ATLANTIC
    keeps_summer = {str(code) for code, kind in zip(airports["faa"], airports["dst"], strict=True) if kind == "A"}
    codes, position = np.unique(destination.astype(np.str_), return_inverse=True)
    unknown = [str(code) for code in codes if str(code) not in winter]
    if unknown:
        raise ValueError(f"no time zone is known for {', '.join(unknown)}")
    winter_hours = np.array([winter[str(code)] for code in codes], dtype=np.int64)
    summer_hours = np.array([int(str(code) in keeps_summer) for code in codes], dtype=np.int64)
    is_summer = offset_hours - NEW_YORK_WINTER_HOURS
    return winter_hours[position] + summer_hours[position] * is_summer
