"""Reports as the admin API and the dashboard show them, with every member filled."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sidecar.reports import (
    Cause,
    ComparisonReport,
    ComparisonShape,
    Copies,
    Disagreement,
    FeatureDrift,
    GateTable,
    GateVerdict,
    Interval,
    Quantiles,
    ScoreDifference,
    Verdict,
)
from sidecar.standing import (
    Alarm,
)

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
EVIDENCE = "sha256:" + "ab" * 32


def bell(cells: int, centre: float, spread: float, total: int) -> tuple[int, ...]:
    return tuple(round(total * math.exp(-(((index - centre) / spread) ** 2))) for index in range(cells))


def numeric(name: str, **changed: Any) -> FeatureDrift:
    edges = ["< 0.5", *(f"{0.5 * 1.4**i:.3g} – {0.5 * 1.4 ** (i + 1):.3g}" for i in range(22)), "≥ 820"]
    cells = (*edges, "missing", "wrong type")
    feature = FeatureDrift(
        name=name,
        kind="numeric",
        n=18_240,
        psi=0.0041,
        psi_noise=0.0013,
        kl_lower=0.0,
        e_value=0.2,
        alarm=False,
        since=None,
        missing=0.0,
        wrong_type=0.0,
        unseen=0.0,
        cause=None,
        cells=cells,
        baseline_counts=(*bell(24, 12, 5, 9000), 0, 0),
        live_counts=(*bell(24, 12.4, 5.2, 700), 0, 0),
    )
    return msgspec.structs.replace(feature, **changed)


def categorical(name: str, **changed: Any) -> FeatureDrift:
    return numeric(
        name,
        **{
            "kind": "categorical",
            "cells": ("EUR", "USD", "GBP", "CHF", "rare", "never seen", "missing", "wrong type"),
            "baseline_counts": (7000, 2100, 800, 300, 40, 0, 0, 0),
            "live_counts": (640, 220, 90, 22, 3, 0, 0, 0),
        }
        | changed,
    )


def table(champion: str, challenger: str, verdict: Verdict, text: str = "") -> GateTable:
    def gate(name: str, said: Verdict, observed: Any, required: Any, detail: str) -> GateVerdict:
        return GateVerdict(name=name, verdict=said, observed=observed, required=required, n=5210, detail=detail + text)

    enough: Verdict = "pass" if verdict == "pass" else "insufficient"
    return GateTable(
        deployment="fraud",
        champion=champion,
        challenger=challenger,
        verdict=verdict,
        evidence=EVIDENCE,
        gates=(
            gate("pairs", "pass", 18240, 5000, "18,240 joined rows"),
            gate("duration", enough, 168.0 if verdict == "pass" else 61.5, 168.0, "hours of mirrored time"),
            gate("completeness", "pass", 0.9983, 0.99, "of the copies that were due"),
            gate("errors", "pass", 0.0, 0.001, "no more failures than the champion"),
            gate("latency", "pass", 1.12, 1.5, "p99 against the champion's"),
            gate("agreement", "pass", 0.968, 0.9, "on labels, lower bound 96.1%"),
            gate("prediction", "pass", 0.012, 0.1, "PSI of the predictions"),
            gate("outcome", enough, "+0.011" if enough == "pass" else None, "above −0.005", "412 of 500 outcomes"),
            gate("inputs", "fail" if verdict == "fail" else "pass", "1 open" if verdict == "fail" else "none open",
                 "none open", "data.broken alarms" if verdict == "fail" else ""),
            gate("lineage", "off", None, None, "switched off"),
        ),
    )  # fmt: skip


def comparison(text: str = "") -> ComparisonReport:
    return ComparisonReport(
        since=NOW - 221_400,
        mirrored_s=221_400.0,
        copies=Copies(
            mirrored=18_260, answered=18_257, errors={"timeout": 3}, dropped={"queue_full": 24, "breaker_open": 7}
        ),
        pairs=18_240,
        paired_requests=18_240,
        judged_requests=18_260,
        champion_failures=2,
        challenger_failures=3,
        unpaired=0,
        agreement=Interval(0.968, 0.961, 0.974),
        agreement_basis="labels",
        flips={f"legit{text}→fraud": 402, "fraud→legit": 181},
        score_difference=ScoreDifference(18_240, 0.0031, 0.0142, 0.0009, 0.061, 0.44),
        prediction_psi=0.012,
        latency_champion=Quantiles(18_240, 3.4, 11.8),
        latency_challenger=Quantiles(18_240, 3.9, 13.2),
        worst=(
            Disagreement(
                request_id=f"req-81f3{text}", row=0, at=NOW - 60, champion="legit", challenger="fraud", difference=0.44
            ),
        ),
    )


def shape() -> ComparisonShape:
    """Scores near the diagonal, and latencies of some milliseconds."""
    scores = tuple(
        (i / 10, (i + 1) / 10, j / 10, (j + 1) / 10, 90 // (1 + abs(i - j))) for i in range(10) for j in range(10)
    )
    gaps = tuple((place / 20, (place + 1) / 20, 40 - abs(place)) for place in range(-20, 20))
    fast = tuple((1.1**step, 1.1 ** (step + 1), 200 - abs(step - 14) * 9) for step in range(30))
    slow = tuple((1.1**step, 1.1 ** (step + 1), 200 - abs(step - 18) * 9) for step in range(4, 34))
    return ComparisonShape(scores=scores, differences=gaps, latency_champion=fast, latency_challenger=slow)


def broken(text: str = "") -> FeatureDrift:
    return numeric(
        f"amount{text}",
        psi=6.82,
        kl_lower=2.914,
        e_value=1e300,
        alarm=True,
        since=NOW - 95,
        cause=Cause(
            kind="scale",
            says=f"live = 0.01 × trained (as when cents become euros){text}",
            explained=0.981,
            confirmed=True,
            factor=0.01,
        ),
        live_counts=(*bell(24, 1, 2.6, 900), 0, 0),
    )


def alarm(text: str = "", **changed: Any) -> Alarm:
    raised = Alarm(
        id="fraud-amount-1",
        deployment="fraud",
        kind="data.broken",
        severity="critical",
        says=f"amount: live = 0.01 × trained (as when cents become euros){text}",
        action=f"Fix the feed, do not retrain.{text}",
        since=NOW - 95,
        owner="risk-ml@example.com",
        acknowledged=False,
    )
    return msgspec.structs.replace(raised, **changed)
