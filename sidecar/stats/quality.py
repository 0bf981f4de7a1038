"""Quality of predictions whose outcome is known: counts that add, and the metrics and intervals read from them.

Keeps: merging is exact, associative and free of order; the loss sums are whole billionths for that reason, and equal
scikit-learn's on the same rows to 1e-9. Rows can be taken back.
Does not: match outcomes to predictions, wait for late ones, or compare versions.
Called by: the quality tallies. Source: Brier 1950; log loss clipped at the machine's epsilon, as scikit-learn does, so
that one certain error stays finite; F1 = 2J / (1 + J) with J = tp / (tp + fp + fn), a share, hence its interval.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.stats.confidence import proportion_interval
from sidecar.stats.mean_interval import mean_interval

_BILLION = 1_000_000_000
_CLIP = 2.0**-52
Bounds = tuple[float, float]
Floats = NDArray[np.float64]


class QualityCounts(msgspec.Struct):
    """Counts over rows with an outcome.

    `n`, `correct` count every judged label; the four cells those with two classes; `scored` the rows whose score is a
    probability of the positive class, with the summed losses in billionths and the summed squares of the losses.

    >>> counts = QualityCounts()
    >>> counts.label("1", "1", positive="1")
    >>> counts.label("1", "0", positive="1")
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
    brier_squares: float = 0.0
    log_loss_squares: float = 0.0

    def label(self, predicted: str, outcome: str, *, positive: str | None = None, sign: int = 1) -> None:
        """One more judged label; `positive` names the positive of two classes, None for more; sign -1 takes it back."""
        self.n += sign
        if predicted == outcome:
            self.correct += sign
        if positive is not None:
            if predicted == positive:
                self.tp += sign * (outcome == positive)
                self.fp += sign * (outcome != positive)
            else:
                self.fn += sign * (outcome == positive)
                self.tn += sign * (outcome != positive)

    def score(self, probability: float, came_true: bool, *, sign: int = 1) -> None:
        """One more probability of the positive class; ValueError outside [0, 1]."""
        self.add_losses(*losses(probability, came_true), sign)

    def add_losses(self, brier: float, log_loss: float, sign: int = 1) -> None:
        """One more probability by its `losses`."""
        self.scored += sign
        self.brier_billionths += sign * round(brier * _BILLION)
        self.log_loss_billionths += sign * round(log_loss * _BILLION)
        self.brier_squares += sign * brier * brier
        self.log_loss_squares += sign * log_loss * log_loss

    def add_many(self, brier: Floats, log_loss: Floats, signs: NDArray[np.int64]) -> None:
        """Probabilities at once, by their `losses_of`."""
        self.scored += int(signs.sum())
        self.brier_billionths += int((signs * np.rint(brier * _BILLION)).sum())
        self.log_loss_billionths += int((signs * np.rint(log_loss * _BILLION)).sum())
        self.brier_squares += float((signs * brier * brier).sum())
        self.log_loss_squares += float((signs * log_loss * log_loss).sum())

    def merge(self, other: QualityCounts, sign: int = 1) -> None:
        """Adds another one, which stays as it is."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))

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

    def intervals(self, alpha: float = 0.05) -> dict[str, Bounds]:
        """Of each metric that is known, valid at every look: shares exactly, losses asymptotically."""
        jaccard = proportion_interval(self.tp, self.tp + self.fp + self.fn, alpha)
        known: dict[str, Bounds | None] = {
            "accuracy": proportion_interval(self.correct, self.n, alpha),
            "precision": proportion_interval(self.tp, self.tp + self.fp, alpha),
            "recall": proportion_interval(self.tp, self.tp + self.fn, alpha),
            "specificity": proportion_interval(self.tn, self.tn + self.fp, alpha),
            "f1": (2 * jaccard[0] / (1 + jaccard[0]), 2 * jaccard[1] / (1 + jaccard[1])),
            "brier": self._mean(self.brier_billionths, self.brier_squares, alpha),
            "log_loss": self._mean(self.log_loss_billionths, self.log_loss_squares, alpha),
        }
        here = self.metrics
        return {name: bounds for name, bounds in known.items() if name in here and bounds is not None}

    def _mean(self, billionths: int, squares: float, alpha: float) -> Bounds | None:
        found = mean_interval(self.scored, billionths / _BILLION, squares, scale=1.0, alpha=alpha)
        return None if found is None else (max(0.0, found[0]), found[1])


def losses_of(scores: Floats, came_true: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """`losses` of each probability; they lie from 0 to 1."""
    given = np.where(came_true, scores, 1.0 - scores)
    return (1.0 - given) ** 2, -np.log(np.clip(given, _CLIP, 1.0 - _CLIP))


def losses(probability: float, came_true: bool) -> tuple[float, float]:
    """(Brier, log loss) of one probability of the positive class; ValueError outside [0, 1].

    >>> losses(0.5, True) == (0.25, math.log(2))
    True
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability lies from 0 to 1, not {probability}")
    given = probability if came_true else 1.0 - probability
    return (1.0 - given) ** 2, -math.log(min(max(given, _CLIP), 1.0 - _CLIP))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
