"""One prediction beside its outcome: right, wrong, or off by how much.

Invariant: a function of the two alone. A version that gives only scores is judged at the threshold where the outcome is
of two classes, by its error where the outcome is a number. 1 and true are the same truth: outcomes come from other
systems than labels. Does not sum; many rows at once are judged by `judged_rows`, in the same way.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from sidecar.observe.outcomes import as_number, class_of, label_text

LARGEST_ERROR = 1e70  # so that no sum of its fourth powers becomes infinite


class RowPrediction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one version said for one row: a label, a score, or both."""

    label: str | None
    score: float | None


class Judged(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        said, truth: labels in one spelling; `said` None where the version can be neither right nor wrong.
        error: score less outcome where the version gives no label and both are numbers; None else.
    """

    said: str | None
    truth: str
    error: float | None

    @property
    def right(self) -> bool | None:
        """None where it can be neither."""
        return None if self.said is None else self.said == self.truth


def judge(prediction: RowPrediction, outcome: str | float, threshold: float = 0.5) -> Judged:
    """What became of one row."""
    truth, score = _text(outcome), prediction.score
    said = _text(prediction.label) if prediction.label is not None else None
    if said is None and score is not None and 0.0 <= score <= 1.0 and truth in ("0", "1"):
        said = "1" if score >= threshold else "0"
    return Judged(said, truth, _error(prediction, outcome))


def _error(prediction: RowPrediction, outcome: str | float) -> float | None:
    if prediction.label is not None or prediction.score is None:
        return None
    number = as_number(outcome)
    error = prediction.score - number if number is not None else math.nan
    return error if abs(error) <= LARGEST_ERROR else None


@lru_cache(maxsize=1_024)
def _text(value: str | float) -> str:
    known = class_of(value)
    return label_text(value) if known is None else str(known)
