"""Streams without drift out of real tables: a pool of rows from a short while, drawn from at random.

Keeps: baseline and live rows are drawn independently from the same pool, so the null is exactly true and the columns
depend on each other as they really do. Called by the experiments on false alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift import data
from bench.drift.data import Column

FLIGHTS = (
    "dep_time", "sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay", "carrier", "flight", "tailnum", "origin",
    "dest", "air_time", "distance", "minute",
)  # fmt: skip
_WEEK_OF_JANUARY = (979_084_800.0, 979_689_600.0)  # 2001-01-10 to 2001-01-17


class Source(msgspec.Struct, frozen=True):
    """A pool."""

    name: str
    pool: Mapping[str, Column]

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, Column]:
        """Rows at random, with replacement."""
        return data.rows_of(self.pool, rng.integers(0, data.length(self.pool), rows))


def flights_of_january() -> Source:
    """The flights that left New York in January 2013."""
    table = data.rdata("nycflights13", "flights")
    return Source("flights, January 2013", data.rows_of(data.chosen(table, FLIGHTS), table["month"] == 1.0))


def employment_of_2015() -> Source:
    """The US census rows of Massachusetts, 2015, that nannyml ships as a reference."""
    table = data.nannyml("employment_MA_reference.pq")
    left_out = {"identifier", "year", "timestamp", "id"}
    return Source("employment, 2015", {name: column for name, column in table.items() if name not in left_out})


def week_of_flights() -> Source:
    """A week of US flights in January 2001."""
    table = data.flights_3m()
    moments = table["date"]
    week = (moments >= _WEEK_OF_JANUARY[0]) & (moments < _WEEK_OF_JANUARY[1])
    names = tuple(name for name in table if name != "date")
    return Source("US flights, a week of 2001", data.rows_of(data.chosen(table, names), week))


def covid_tests() -> Source:
    """A hundred days of tests at a hospital."""
    table = data.rdata("medicaldata", "covid_testing")
    left_out = {"subject_id", "fake_first_name", "fake_last_name", "pan_day"}
    return Source("COVID tests", {name: column for name, column in table.items() if name not in left_out})


SOURCES: tuple[Callable[[], Source], ...] = (flights_of_january, employment_of_2015, week_of_flights, covid_tests)


def as_numbers(column: Column) -> tuple[NDArray[np.float64], str]:
    """A column for the peers: numbers as they are, texts as whole numbers (NaN for missing), and its kind."""
    if column.dtype.kind == "f":
        return column.astype(np.float64), "numeric"
    texts = sorted({text for text in column.tolist() if text is not None})
    place: dict[object, float] = {text: float(number) for number, text in enumerate(texts)}
    return np.array([place.get(text, np.nan) for text in column.tolist()], dtype=np.float64), "categorical"
