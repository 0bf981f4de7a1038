"""What happens when: a request for all flights of the next ten minutes, an outcome for each flight that landed.

Keeps: requests and outcomes are in time order, and an outcome names the request and the row that predicted it.
Time in the example is virtual: `Clock` says which moment of 2013 it is. Pure. Called by `traffic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from examples.flights.cleaning import FEATURES, NO_OUTCOME, Flights

DAY_S = 86_400
SLOT_S = 600
# No flight leaves New York at this hour, summer or winter, so months can be cut here.
NIGHT_HOUR_UTC = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """Virtual time: at `began_wall_s` it was `began_s`, and a virtual day takes `day_s` seconds.

    >>> Clock(began_wall_s=100.0, began_s=0, day_s=2.0).wall_s(43_200)
    101.0
    """

    began_wall_s: float
    began_s: int
    day_s: float

    def wall_s(self, virtual_s: float) -> float:
        """When a moment of 2013 comes, on the wall clock."""
        return self.began_wall_s + (virtual_s - self.began_s) / DAY_S * self.day_s

    def virtual_s(self, wall_s: float) -> float:
        """Which moment of 2013 it is at a time of the wall clock."""
        return self.began_s + (wall_s - self.began_wall_s) / self.day_s * DAY_S


@dataclass(frozen=True, slots=True)
class Batch:
    """The flights that are to depart within SLOT_S of `due_s`: rows `first` to `last` (not included)."""

    request_id: str
    due_s: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Landing:
    """A flight's outcome: it landed at `lands_s`, and `late` is 0 or 1."""

    request_id: str
    row: int
    lands_s: int
    late: int


def batches_of(flights: Flights) -> list[Batch]:
    """One request for every ten minutes with a flight. The id is its moment in UTC."""
    if np.any(np.diff(flights.departs_s) < 0):
        raise ValueError("the flights are not in the order of their departure")
    due_s = flights.departs_s // SLOT_S * SLOT_S
    firsts = np.flatnonzero(np.diff(due_s, prepend=-1)).tolist()
    return [
        Batch(f"{datetime.fromtimestamp(int(due_s[first]), UTC):%Y-%m-%dT%H:%MZ}", int(due_s[first]), first, last)
        for first, last in zip(firsts, [*firsts[1:], len(due_s)], strict=True)
    ]


def landings_of(flights: Flights, batches: list[Batch]) -> list[Landing]:
    """The outcomes by landing; cancelled and diverted flights have none."""
    landings = [
        Landing(batch.request_id, row - batch.first, int(flights.lands_s[row]), int(flights.late[row]))
        for batch in batches
        for row in range(batch.first, batch.last)
        if flights.late[row] != NO_OUTCOME
    ]
    return sorted(landings, key=lambda landing: landing.lands_s)


def inference_inputs(flights: Flights, batch: Batch) -> list[dict[str, object]]:
    """The `inputs` of a request of the Open Inference Protocol V2: one tensor `[rows, 1]` a feature."""
    return [
        {
            "name": name,
            "shape": [batch.last - batch.first, 1],
            "datatype": datatype,
            "data": _values(flights.features[name][batch.first : batch.last]),
        }
        for name, datatype in FEATURES.items()
    ]


def month_ends(first_month: int, last_month: int, year: int = 2013) -> Iterator[tuple[int, int]]:
    """Each month with the second at which it ends: the night after its last day."""
    for month in range(first_month, last_month + 1):
        after = datetime(year + month // 12, month % 12 + 1, 1, NIGHT_HOUR_UTC, tzinfo=UTC)
        yield month, int(after.timestamp())


def _values(column: npt.NDArray[np.generic]) -> list[object]:
    values: list[object] = column.tolist()
    return values
