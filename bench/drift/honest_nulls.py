"""Experiment B: weeks in which nothing broke, as they really follow each other; with and without natural variation.

A baseline of three weeks watches the week that follows, in its real order, a day a bucket. Whether the baseline knows
how much its days differ is the builder's choice (`time=`); both are measured. A watch that is silent about everything
would pass, so the same weeks are watched once more with faults in all columns. Called by the main program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from bench.drift import data
from bench.drift.data import Column
from bench.drift.plan import Plan
from bench.drift.product import BEGIN_S, TIME, baseline_of, observer_of, sample_of
from bench.result import Finding, Result, Table
from bench.spread import spread

DAY_S = 86_400.0
TRAINED_DAYS, WATCHED_DAYS = 21, 7
SCHEDULE = ("sched_dep_time", "sched_arr_time", "carrier", "flight", "origin", "dest", "distance")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
DELAYS = (*SCHEDULE, "dep_time", "dep_delay", "arr_delay", "air_time")
Fault = Callable[[dict[str, Column]], dict[str, Column]]


def _third_missing(rows: dict[str, Column]) -> dict[str, Column]:
    return {name: _in_third(column, np.nan if column.dtype.kind == "f" else None) for name, column in rows.items()}


def _third_hundredfold(rows: dict[str, Column]) -> dict[str, Column]:
    """Numbers only."""
    numbers = {name: column for name, column in rows.items() if column.dtype.kind == "f"}
    return rows | {name: _in_third(column, 100.0 * column) for name, column in numbers.items()}


def _all_shifted(rows: dict[str, Column]) -> dict[str, Column]:
    """Numbers only: by two of the day's own standard deviations."""
    numbers = {name: column for name, column in rows.items() if column.dtype.kind == "f"}
    return rows | {name: column + 2.0 * np.nanstd(column) for name, column in numbers.items()}


def _in_third(column: Column, broken: object) -> Column:
    """Every third row broken."""
    found = column.copy()
    found[::3] = broken[::3] if isinstance(broken, np.ndarray) else broken
    return found


FAULTS: Mapping[str, Fault] = {
    "a third missing": _third_missing,
    "a third × 100": _third_hundredfold,
    "all + 2 sd of the day": _all_shifted,
}


class _World(msgspec.Struct, frozen=True):
    """Real rows with their day (0 and up)."""

    name: str
    table: Mapping[str, Column]
    days: Column
    starts: Sequence[int]


def measure(plan: Plan) -> Result:
    """The experiment."""
    rows, findings = [], list[Finding]()
    for world in _worlds(plan):
        told = {known: _alarms(world, known=known) for known in (False, True)}
        days = len(world.starts) * WATCHED_DAYS
        rates = {known: 30.0 * sum(map(len, found)) / days for known, found in told.items()}
        findings.append(
            Finding(
                measure=f"alarms in 30 days that follow training, {world.name}",
                reached=spread([rates[True]]),
                limit=1.0,
                unit="",
                digits=1,
            )
        )
        columns = sorted({key for found in told[True] for key in found})
        rows.append(
            (
                world.name,
                str(days),
                f"{rates[False]:.1f}",
                f"{rates[True]:.1f}",
                f"{sum(bool(found) for found in told[True])} of {len(world.starts)}",
                ", ".join(columns) or "–",
                *(_told(world, name) for name in FAULTS),
            )
        )
        plan.tell(f"  {rows[-1]}")
    return Result(
        title="B. Honest weeks: nothing broke, but no two weeks are alike",
        findings=findings,
        tables=[
            Table(
                (
                    "real rows",
                    "days watched",
                    "alarms in 30 days, blind to days",
                    "… knowing its days",
                    "weeks with an alarm",
                    "columns that alarmed",
                    *(f"told: {name}" for name in FAULTS),
                ),
                rows,
            )
        ],
        note=(
            f"A baseline of {TRAINED_DAYS} days watches the {WATCHED_DAYS} that follow, in their real order, a bucket "
            "a day, at a budget of one false alarm in 30 days. Weather and delays truly move from week to week: some "
            "of "
            "these alarms are right to say so, and the promise is about rows that are alike. Blind to days: a baseline "
            "built without a column of times. Nothing here was chosen for being quiet. Told: of all columns (numbers "
            "only, where a fault is one of numbers) in all weeks, the share that alarmed within the week when they "
            "were broken all week, by a baseline that knows its days: what varies much by nature hides much."
        ),
    )


def _worlds(plan: Plan) -> list[_World]:
    flights = data.rdata("nycflights13", "flights")
    weather = data.rdata("nycflights13", "weather")
    # time_hour is in UTC; days are cut at New York's midnight in winter.
    flown, hours = (np.floor((data.moments(table["time_hour"]) - 5 * 3600.0) / DAY_S) for table in (flights, weather))
    flown, hours = flown - flown.min(), hours - hours.min()
    starts = range(0, 330, plan.pick(84, 14))
    worlds = [
        _World("flights, schedule only", data.chosen(flights, SCHEDULE), flown, starts),
        _World("flights with delays", data.chosen(flights, DELAYS), flown, starts),
        _World("weather", data.chosen(weather, WEATHER), hours, starts),
    ]
    if not plan.quick:
        table = data.flights_3m()
        days = np.floor(table["date"] / DAY_S)
        names = tuple(name for name in table if name != "date")
        worlds.append(_World("US flights of 2001", data.chosen(table, names), days - days.min(), range(0, 140, 14)))
    return worlds


def _told(world: _World, fault: str) -> str:
    """Of the columns that can have the fault, in all weeks, the share that alarmed."""
    every = fault == "a third missing"
    able = {name for name, column in world.table.items() if every or column.dtype.kind == "f"}
    weeks = _alarms(world, known=True, fault=FAULTS[fault])
    return f"{sum(len(found & able) for found in weeks) / (len(able) * len(weeks)):.0%}" if able else "–"


def _alarms(world: _World, *, known: bool, fault: Fault | None = None) -> list[set[str]]:
    """The keys of alarms that began in each watched week."""
    found = []
    for start in world.starts:
        trained = (world.days >= start) & (world.days < start + TRAINED_DAYS)
        rows = data.rows_of(world.table, trained)
        if known:
            moments = BEGIN_S - 400 * DAY_S + world.days[trained] * DAY_S
            baseline = baseline_of({**rows, TIME: moments}, time=TIME)
        else:
            baseline = baseline_of(rows)
        observer = observer_of(baseline, bucket_s=DAY_S)
        began: set[str] = set()
        for day in range(WATCHED_DAYS):
            today = data.rows_of(world.table, world.days == start + TRAINED_DAYS + day)
            today = fault(today) if fault is not None else today
            if data.length(today):
                observer.fold(sample_of(today, BEGIN_S + day * DAY_S + 1.0))
            changes = observer.tick(BEGIN_S + (day + 1) * DAY_S)
            began |= {change.key.removeprefix("feature/") for change in changes if not change.ended}
        found.append(began)
    return found
