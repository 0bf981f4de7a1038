"""Decisions and outcomes, as few words as they take."""

from __future__ import annotations

from sidecar.control.decision_row import DecisionRow, Joined
from sidecar.control.decisions import Decisions
from sidecar.observe.quality import RowPrediction
from sidecar.records import Outcome
from sidecar.reports import OutcomeCounts

EARLY_S, WINDOW_S = 300.0, 1000.0


def row(request_id: str = "r", place: int = 0, *, at: float = 1000.0, deployment: str = "fraud") -> DecisionRow:
    predictions = {"3": RowPrediction("1", 0.9), "4": RowPrediction("0", 0.2)}
    return DecisionRow(deployment, request_id, place, at, 7, "3", predictions)


def truth(
    request_id: str = "r", value: str | float = "1", *, row: int = 0, at: float = 1000.0, corrects: bool = False
) -> Outcome:
    return Outcome(request_id, row, value, at, corrects)


async def post(decisions: Decisions, *outcomes: Outcome, now: float = 1100.0) -> tuple[OutcomeCounts, list[Joined]]:
    counts, joined = await decisions.post(outcomes, now, EARLY_S, WINDOW_S)
    return counts, list(joined)
