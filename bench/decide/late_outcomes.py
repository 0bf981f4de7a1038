"""Experiment M: outcomes that come late and not at random, and what each way of reading them makes of it.

The last reading is the outcome gate itself, at its defaults.

Simulated, since the truth must be known: a challenger that says "positive" more readily, and is worse for it, while
positives are confirmed within a day and negatives after weeks. Read every few days over three months: all outcomes so
far, only mature ones, and mature ones with bounds where their coming depends on the score. Then the same without the
fault, to see what caution costs.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from bench.drift.plan import Plan
from bench.result import Finding, Result, Table
from bench.spread import spread
from sidecar.config_gates import OutcomeGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.gates import GATES
from sidecar.observe.comparison import ComparisonObserver
from sidecar.observe.quality import QualityObserver, RowPrediction
from sidecar.reports import PairedQuality
from sidecar.stats.paired import log_e_noninferior

MARGIN = 0.005
NEEDED = math.log(20.0)
DAY_S = 86_400.0
DAYS = 100
LOOK_DAYS = 4
ROWS_A_DAY = 100


class World(msgspec.Struct, frozen=True):
    """Shares of the challenger's right answers by class (the champion's are 0.9), and mean delays in days."""

    recall: float
    specificity: float
    positive_days: float
    negative_days: float


class Readings(msgspec.Struct):
    """The first day on which each reading called the challenger no worse; None where none ever did."""

    so_far: int | None = None
    mature: int | None = None
    gate: int | None = None


def read(world: World, rng: np.random.Generator) -> Readings:
    """One history, read while it happens."""
    quality, readings = QualityObserver(), Readings()
    rows = ROWS_A_DAY * DAYS
    predicted = np.sort(rng.uniform(0.0, DAYS, rows))
    truth = rng.random(rows) < 0.3
    champion = np.where(rng.random(rows) < 0.9, truth, ~truth)
    right = rng.random(rows) < np.where(truth, world.recall, world.specificity)
    challenger = np.where(right, truth, ~truth)
    scores = np.clip(0.5 + np.where(champion, 1, -1) * rng.beta(2.0, 2.0, rows) / 2, 0.0, 1.0)
    delays = rng.exponential(np.where(truth, world.positive_days, world.negative_days))
    comes = predicted + delays
    said = [
        {"3": RowPrediction(str(int(one)), score), "4": RowPrediction(str(int(two)), None)}
        for one, two, score in zip(champion.tolist(), challenger.tolist(), scores.tolist(), strict=True)
    ]
    arriving, next_row, next_outcome = np.argsort(comes), 0, 0
    for day in range(LOOK_DAYS, DAYS + 1, LOOK_DAYS):
        while next_row < rows and predicted[next_row] <= day:
            quality.fold_row_predicted(predicted[next_row] * DAY_S, "3", said[next_row])
            next_row += 1
        while next_outcome < rows and comes[arriving[next_outcome]] <= day:
            row = int(arriving[next_outcome])
            at, received = float(predicted[row]) * DAY_S, float(comes[row]) * DAY_S
            quality.fold_row("3", said[row], str(int(truth[row])), at=at, received=received)
            next_outcome += 1
        _note(readings, quality.paired("3", "4", day * DAY_S), day)
    return readings


def _note(readings: Readings, paired: PairedQuality, day: int) -> None:
    found = paired.maturity
    if readings.so_far is None and _passes(paired.better, paired.worse, paired.same):
        readings.so_far = day
    if (
        readings.mature is None
        and found is not None
        and found.refused is None
        and _passes(found.better, found.worse, found.same)
    ):
        readings.mature = day
    if readings.gate is None and passes_gate(paired, day * DAY_S):
        readings.gate = day


def passes_gate(paired: PairedQuality, now: float) -> bool:
    """What the outcome gate says of these outcomes."""
    evidence = Evidence(
        deployment="fraud",
        champion="3",
        challenger="4",
        baseline_digest=None,
        watched_rows=0,
        comparison=ComparisonObserver("3", "4", score_tolerance=0.0, now=0.0).report(now),
        quality=paired,
        open_alarms=(),
        lineage=None,
    )
    return GATES["outcome"](OutcomeGate(), evidence, now).verdict == "pass"


def _passes(better: int, worse: int, same: int) -> bool:
    return better + worse + same >= 500 and log_e_noninferior(better, worse, same, MARGIN) >= NEEDED


WORLDS = {
    "worse; positives in a day, negatives in 3 weeks": World(0.99, 0.85, 1.0, 21.0),
    "worse; all in a week": World(0.99, 0.85, 7.0, 7.0),
    "better; positives in a day, negatives in 3 weeks": World(0.95, 0.93, 1.0, 21.0),
    "better; all in a week": World(0.95, 0.93, 7.0, 7.0),
}


def measure(plan: Plan) -> Result:
    """The experiment."""
    runs, rows, wrong = plan.pick(5, 100), list[tuple[str, ...]](), 0.0
    for name, world in WORLDS.items():
        rng = np.random.default_rng(len(rows))
        found = [read(world, rng) for _ in range(runs)]
        row = [name]
        for reading in ("so_far", "mature", "gate"):
            days = [day for one in found if (day := getattr(one, reading)) is not None]
            when = f", day {np.median(days):.0f}" if days else ""
            row.append(f"{len(days) / runs:.0%}{when}")
            if reading == "gate" and name.startswith("worse"):
                wrong = max(wrong, len(days) / runs)
        rows.append(tuple(row))
        plan.tell(f"  {row}")
    return Result(
        title="M. Outcomes that come late, and not at random",
        findings=[
            Finding(
                measure="a worse challenger passes the outcome gate while outcomes come late, not at random",
                reached=spread([100 * wrong]),
                limit=5.0,
                unit=" %",
                digits=0,
            )
        ],
        tables=[Table(("challenger; outcomes", "all so far", "mature", "the gate"), rows)],
        note=(
            f"Share of {runs} histories of {DAYS} days in which the challenger is ever called no more than {MARGIN:g} "
            f"worse, and the median day. {ROWS_A_DAY} rows a day, read every {LOOK_DAYS} days. The worse one is right "
            "on 99 % of the positives and 85 % of the negatives, the champion on 90 % of either; it looks better while "
            "positives are known only."
        ),
    )
