"""Experiment K: how often the outcome tests decide wrongly, and after how many pairs they decide rightly.

Streams of pairs with the same outcome, looked at all the time: the same model twice, one that is worse by exactly the
margin, and equal ones with a known share of rows on which they differ. Every look counts; one wrong one is a wrong run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift.plan import Plan
from bench.result import Finding, Result, Table
from bench.spread import spread
from sidecar.stats.paired import log_e_inferior, log_e_noninferior, log_e_superior

ALPHA = 0.05
MARGIN = 0.005
LOOK_PAIRS = 100
_DISCORDANT = (0.02, 0.06, 0.15)
_MARGINS = (0.01, 0.005)

Test = Callable[[int, int, int], float]
Counts = NDArray[np.int64]


class Shares(msgspec.Struct, frozen=True):
    """Chances of a pair: only the challenger right, only the champion; else both or none."""

    better: float
    worse: float

    def stream(self, rng: np.random.Generator, looks: Counts) -> tuple[Counts, Counts]:
        """Counts of better and worse at each look (numbers of pairs, ascending)."""
        steps = np.diff(looks, prepend=0)
        drawn = rng.multinomial(steps, [self.better, self.worse, 1.0 - self.better - self.worse])
        sums = np.cumsum(drawn, axis=0)
        return sums[:, 0], sums[:, 1]


def wrong_share(shares: Shares, test: Test, runs: int, pairs: int, seed: int) -> float:
    """Share of runs in which the test spoke at any look."""
    rng, looks = np.random.default_rng(seed), np.arange(LOOK_PAIRS, pairs + 1, LOOK_PAIRS)
    return sum(first_look(shares, test, rng, looks) is not None for _ in range(runs)) / runs


def first_look(shares: Shares, test: Test, rng: np.random.Generator, looks: Counts) -> int | None:
    """Pairs at the first look at which the test speaks; None where it never does."""
    better, worse = shares.stream(rng, looks)
    for n, up, down in zip(looks.tolist(), better.tolist(), worse.tolist(), strict=True):
        if test(up, down, n - up - down) >= -math.log(ALPHA):
            return int(n)
    return None


def superior(better: int, worse: int, same: int) -> float:
    """The test of "better"."""
    del same
    return log_e_superior(better, worse)


def noninferior(margin: float) -> Test:
    """The test of "no more than `margin` worse"."""
    return lambda better, worse, same: log_e_noninferior(better, worse, same, margin)


def inferior(margin: float) -> Test:
    """The test of "worse by more than `margin`", on which the gate fails."""
    return lambda better, worse, same: log_e_inferior(better, worse, same, margin)


def measure(plan: Plan) -> Result:
    """The experiment."""
    runs, pairs = plan.pick(100, 1_000), plan.pick(5_000, 20_000)
    findings: list[Finding] = []
    rows: list[tuple[str, ...]] = []
    for name, shares, test in _wrong():
        share = wrong_share(shares, test, runs, pairs, seed=len(rows))
        rows.append((name, f"{share:.1%}", f"{runs:,}", f"{pairs // LOOK_PAIRS:,}"))
        plan.tell(f"  {rows[-1]}")
        findings.append(Finding(measure=name, reached=spread([100 * share]), limit=100 * ALPHA, unit=" %", digits=1))
    power = [_power(plan, margin, discordant) for margin in _MARGINS for discordant in _DISCORDANT]
    ratios = [float(row[-1].removesuffix("×")) for row in power]
    findings.append(
        Finding(
            measure="pairs until equal models pass in 80 % of runs, median case",
            against="fixed sample",
            reached=spread(ratios),
            limit=2.2,
        )
    )
    return Result(
        title="K. Outcome tests under continuous looking",
        findings=findings,
        tables=[
            Table(("wrong at any look", "share of runs", "runs", "looks a run"), rows),
            Table(("margin", "rows that differ", "fixed sample, one look", "median", "80 % of runs", ""), power),
        ],
        note=(
            f"α = {ALPHA:g}; a look after every {LOOK_PAIRS} pairs. A fixed sample of 6.18 q / δ² pairs, looked at "
            "once, passes 80 % of equal models that differ on a share q of rows at margin δ; the last column is what "
            "looking at any time costs. Where only discordant rows need a label, multiply by q."
        ),
    )


def _wrong() -> list[tuple[str, Shares, Test]]:
    same, worse = Shares(0.03, 0.03), Shares(0.03, 0.03 + MARGIN)
    return [
        ("same model twice, deterministic: called better", Shares(0.0, 0.0), superior),
        ("same model twice, 6 % of rows differ: called better", same, superior),
        ("same model twice, 6 % of rows differ: called worse", same, inferior(MARGIN)),
        ("worse by the margin, 6 % differ: called no worse", worse, noninferior(MARGIN)),
        ("worse by the margin, 2 % differ: called no worse", Shares(0.0075, 0.0125), noninferior(MARGIN)),
        ("worse by the margin, only ever worse: called no worse", Shares(0.0, MARGIN), noninferior(MARGIN)),
    ]


def _power(plan: Plan, margin: float, discordant: float) -> tuple[str, ...]:
    fixed = 6.18 * discordant / margin**2
    step = max(1, round(fixed / 40))
    looks = np.arange(step, 6 * fixed, step).astype(np.int64)
    rng = np.random.default_rng(round(1e5 * margin) + round(1e3 * discordant))
    shares, test = Shares(discordant / 2, discordant / 2), noninferior(margin)
    found = [first_look(shares, test, rng, looks) or int(looks[-1]) for _ in range(plan.pick(40, 200))]
    most = float(np.quantile(found, 0.8))
    row = (
        f"{margin:.1%}",
        f"{discordant:.0%}",
        f"{fixed:,.0f}",
        f"{np.median(found):,.0f}",
        f"{most:,.0f}",
        f"{most / fixed:.2f}×",
    )
    plan.tell(f"  {row}")
    return row
