"""A month is what two readings differ by: counts subtract, and means become sums that do.

Keeps: a flight's answer counts in the month in which it was scored, its outcome in the month in which it landed;
an alarm stands in the month in which it began or became another kind. Pure. Called by the main program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from examples.flights.readings import Alarm, Quality, Reading

METRICS = ("accuracy", "log_loss", "brier")


@dataclass(frozen=True, slots=True)
class Month:
    """One month as the sidecar saw it.

    Attributes:
        flights: scored; landed: with an outcome; late_share: of those that landed.
        agreement: share of the month's pairs with the same label, None where no pair counted as evidence.
        champion, challenger: means over the month's outcomes; empty where there was none.
        alarms: those that began or changed their kind.
        gates: the gates that do not pass at its end, with their verdicts.
    """

    number: int
    flights: int
    landed: int
    late_share: float
    pairs: int
    agreement: float | None
    champion: Mapping[str, float]
    challenger: Mapping[str, float]
    severity: str
    alarms: tuple[Alarm, ...]
    verdict: str
    gates: Mapping[str, str]


def month_of(number: int, before: Reading | None, after: Reading, traffic: tuple[int, int, int]) -> Month:
    """The month between two readings; `traffic` is its flights, landings and late landings."""
    flights, landed, late = traffic
    pairs = after.pairs - (before.pairs if before else 0)
    alike = after.agreement * after.pairs - (before.agreement * before.pairs if before else 0.0)
    known = {alarm.id: alarm.kind for alarm in before.alarms} if before else {}
    return Month(
        number=number,
        flights=flights,
        landed=landed,
        late_share=late / landed if landed else 0.0,
        pairs=pairs,
        agreement=alike / pairs if pairs > 0 else None,
        champion=gained(before.champion if before else Quality(0, {}), after.champion),
        challenger=gained(before.challenger if before else Quality(0, {}), after.challenger),
        severity=after.severity,
        alarms=tuple(alarm for alarm in after.alarms if known.get(alarm.id) != alarm.kind),
        verdict=after.verdict,
        gates={gate.name: gate.verdict for gate in after.gates if gate.verdict not in ("pass", "off")},
    )


def gained(before: Quality, after: Quality) -> dict[str, float]:
    """Means over the rows that came between two readings.

    >>> gained(Quality(100, {"accuracy": 0.5}), Quality(200, {"accuracy": 0.75}))
    {'accuracy': 1.0}
    """
    rows = after.matched - before.matched
    if rows <= 0:
        return {}
    return {
        name: (after.metrics[name] * after.matched - before.metrics.get(name, 0.0) * before.matched) / rows
        for name in METRICS
        if name in after.metrics
    }
