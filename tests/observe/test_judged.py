from __future__ import annotations

import math

import pytest

from sidecar.observe.judged import RowPrediction, judge
from sidecar.observe.judged_rows import Spelling, judge_rows

LABELS = (None, "1", "0", "true", "false", "True", "FALSE", "fraud", "2", "1.0", "007")
SCORES = (None, 0.0, 0.3, 0.5, 1.0, 1.5, -2.0, math.nan, math.inf, 1e300)
OUTCOMES: tuple[str | float, ...] = (
    "1",
    "0",
    1,
    0.0,
    True,
    "true",
    "false",
    "True",
    "FALSE",
    "fraud",
    2,
    "2.0",
    12.5,
    "7",
    "nan",
    0.7,
)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_many_rows_are_judged_as_each_of_them_is(threshold: float) -> None:
    cases = [(label, score, outcome) for label in LABELS for score in SCORES for outcome in OUTCOMES]
    said = [RowPrediction(label, score) for label, score, _ in cases]
    together = judge_rows(said, [outcome for _, _, outcome in cases], Spelling(), threshold)
    for place, (prediction, (_, _, outcome)) in enumerate(zip(said, cases, strict=True)):
        alone = judge(prediction, outcome, threshold)
        right = bool(together.right[place]) if together.judged[place] else None
        assert right == alone.right, (prediction, outcome)
        error = float(together.error[place])
        assert (None if math.isnan(error) else error) == alone.error, (prediction, outcome)


def test_only_probabilities_beside_two_classes_are_scored() -> None:
    rows: list[tuple[str | None, float, str | float]] = [
        ("1", 0.8, "1"),
        ("1", 1.5, "1"),
        ("fraud", 0.5, "fraud"),
        (None, 0.2, False),
        ("true", 0.4, 0),
    ]
    judged = judge_rows([RowPrediction(label, score) for label, score, _ in rows], [row[2] for row in rows], Spelling())
    assert judged.scored.place.tolist() == [0, 3, 4]
    assert judged.scored.came_true.tolist() == [True, False, False]
    assert judged.scored.brier.tolist() == pytest.approx([0.04, 0.04, 0.16])


def test_spellings_are_forgotten_once_there_are_too_many() -> None:
    spelling = Spelling()
    for number in range(100_001):
        spelling.code(f"label-{number}")
    spelling.forget()
    assert spelling.code("true") == spelling.code(1) == 1
    assert len(spelling._codes) < 10
