"""Many predictions of one version beside their outcomes at once: what `judged` says of one row, as columns.

Invariant: row by row the same as `judge` says; labels become whole numbers that are the same for the same truth,
whatever their spelling, 0 and 1 for the two classes. Does not sum. Used by the quality observer and its tallies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.observe.judged import LARGEST_ERROR, RowPrediction
from sidecar.observe.outcomes import as_number, class_of, label_text
from sidecar.stats.calibration import bins_of
from sidecar.stats.quality import losses_of
from sidecar.stats.roc import keys_of

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_NONE = -1
_NAMED_FROM = 2  # behind the two classes
_MOST_NAMED = 100_000


class Spelling:
    """Numbers for labels and outcomes; forgets them once there are too many, between two batches."""

    def __init__(self) -> None:
        self._codes: dict[str | float, int] = {}
        self._texts: dict[str, int] = {}
        self._numbers: dict[str | float, float] = {}

    def forget(self) -> None:
        """Bounds memory; to be called when no number is in use."""
        if max(len(self._codes), len(self._texts), len(self._numbers)) > _MOST_NAMED:
            self._codes.clear()
            self._texts.clear()
            self._numbers.clear()

    def code(self, value: str | float) -> int:
        """The number of a label or an outcome."""
        found = self._codes.get(value)
        if found is None:
            found = class_of(value)
            if found is None:
                found = self._texts.setdefault(label_text(value), len(self._texts) + _NAMED_FROM)
            self._codes[value] = found
        return found

    def number(self, value: str | float) -> float:
        """The finite number that an outcome is or spells, else NaN."""
        found = self._numbers.get(value)
        if found is None:
            known = as_number(value)
            found = self._numbers[value] = math.nan if known is None else known
        return found


class Scored(msgspec.Struct, frozen=True):
    """Of the rows whose score is a probability and whose outcome is of two classes: one entry each."""

    place: Integers
    score: Floats
    came_true: Flags
    brier: Floats
    log_loss: Floats
    key: Integers
    bin: Integers


class JudgedRows(msgspec.Struct, frozen=True):
    """Columns over n rows.

    Attributes:
        said, truth: numbers of labels; `said` -1 where the version can be neither right nor wrong.
        two: where both are of two classes; error: score less outcome of amounts, NaN where there is none.
    """

    said: Integers
    truth: Integers
    two: Flags
    error: Floats
    scored: Scored

    @property
    def judged(self) -> Flags:
        """Rows that are right or wrong."""
        flags: Flags = self.said != _NONE
        return flags

    @property
    def right(self) -> Flags:
        """Rows that are right."""
        flags: Flags = self.said == self.truth
        return flags


def judge_rows(
    predictions: Sequence[RowPrediction], outcomes: Sequence[str | float], spelling: Spelling, threshold: float = 0.5
) -> JudgedRows:
    """What became of rows."""
    code = spelling.code
    said = np.array([_NONE if one.label is None else code(one.label) for one in predictions], dtype=np.int64)
    scores = np.array([math.nan if one.score is None else one.score for one in predictions], dtype=np.float64)
    truth = np.array([code(outcome) for outcome in outcomes], dtype=np.int64)
    probability = (scores >= 0.0) & (scores <= 1.0)
    unlabelled = said == _NONE
    errors = np.full(scores.size, math.nan)
    if unlabelled.any():
        by_score = unlabelled & probability & (truth <= 1)
        said = np.where(by_score, scores >= threshold, said)
        numbers = np.array([spelling.number(outcome) for outcome in outcomes])
        with np.errstate(invalid="ignore"):
            errors = np.where(unlabelled, scores - numbers, math.nan)
            errors = np.where(np.abs(errors) <= LARGEST_ERROR, errors, math.nan)
    two = (said >= 0) & (said <= 1) & (truth <= 1)
    place = np.flatnonzero(two & probability)
    score, came_true = scores[place], truth[place] == 1
    brier, log_loss = losses_of(score, came_true)
    return JudgedRows(
        said, truth, two, errors, Scored(place, score, came_true, brier, log_loss, keys_of(score), bins_of(score))
    )
