"""Quality of predictions whose outcome is known: counts that add, and the metrics read from them.

Keeps: merging is exact, associative and free of order; the loss sums are whole billionths for that reason.
Does not: match outcomes to predictions, wait for late ones, or compare versions.
Called by: the quality observer. Source: Brier 1950; log loss clipped at 1e-12 so that one certain error stays finite.
"""

from __future__ import annotations

import math

import msgspec

_BILLION = 1_000_000_000
_CLIP = 1e-12


class QualityCounts(msgspec.Struct, frozen=True):
    """Counts over rows with an outcome.

    `n`, `correct` count every judged label; the four cells those with two classes; `scored` the rows whose score is a
    probability of the positive class, with the summed losses in billionths.

    >>> counts = QualityCounts().label("1", "1", positive="1").label("1", "0", positive="1")
    >>> counts.accuracy, counts.precision, counts.recall, counts.f1 and round(counts.f1, 3)
    (0.5, 0.5, 1.0, 0.667)
    """

    n: int = 0
    correct: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    scored: int = 0
    brier_billionths: int = 0
    log_loss_billionths: int = 0

    def label(self, predicted: str, outcome: str, *, positive: str | None = None) -> QualityCounts:
        """Counts with one more judged label; `positive` names the positive of two classes, None for more classes."""
        right = predicted == outcome
        said, was = predicted == positive, outcome == positive
        two = positive is not None
        return self + QualityCounts(
            n=1,
            correct=int(right),
            tp=int(two and said and was),
            fp=int(two and said and not was),
            fn=int(two and was and not said),
            tn=int(two and not said and not was),
        )

    def score(self, probability: float, outcome: bool) -> QualityCounts:
        """Counts with one more probability of the positive class; ValueError outside [0, 1]."""
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"a probability lies from 0 to 1, not {probability}")
        given = probability if outcome else 1.0 - probability
        return self + QualityCounts(
            scored=1,
            brier_billionths=round((1.0 - given) ** 2 * _BILLION),
            log_loss_billionths=round(-math.log(max(given, _CLIP)) * _BILLION),
        )

    def __add__(self, other: QualityCounts) -> QualityCounts:
        return QualityCounts(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))

    @property
    def accuracy(self) -> float | None:
        """Share of right labels; None without a row."""
        return _share(self.correct, self.n)

    @property
    def precision(self) -> float | None:
        """Share tp / (tp + fp); None when nothing was called positive."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share tp / (tp + fn); None when nothing was positive."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float | None:
        """Share tn / (tn + fp), the recall of the negatives; None when nothing was negative."""
        return _share(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn); None when nothing was or was called positive."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def brier(self) -> float | None:
        """Mean squared error of the probability; None without a score."""
        return _share(self.brier_billionths, self.scored * _BILLION)

    @property
    def log_loss(self) -> float | None:
        """Mean -ln of the probability given to what happened, in nats; None without a score."""
        return _share(self.log_loss_billionths, self.scored * _BILLION)

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics that are known, by their names in reports."""
        names = ("accuracy", "precision", "recall", "specificity", "f1", "brier", "log_loss")
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
