"""Where two versions say the same about the same row, and where they do not.

Invariant: counts add, so merging two is exact but for the rounding of the difference sums; memory is bounded
whatever labels come. Each row counts once: by its labels where both versions give them, else by its scores within the
tolerance, so a few labels never speak for many rows without. Feature values never get here; texts are cut. Does not
judge: the agreement gate does. Used by the comparison observer.
"""

from __future__ import annotations

import heapq
import math
from typing import Literal

import msgspec

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.records import Prediction
from sidecar.reports import Disagreement, Interval, ScoreDifference
from sidecar.stats.confidence import proportion_interval

OTHER = "other"
_MOST_FLIPS_KEPT = 400
_MOST_FLIPS_SHOWN = 20
_MOST_WORST = 20
_TEXT_LENGTH = 40
_ROUNDING = 1e-12  # 0.51 - 0.50 is a hair more than 0.01 in floating point

# (severity, at, request id, row, champion's text, challenger's text, difference): ordered, so that ties are settled.
_Worst = tuple[float, float, str, int, str, str, float]


class AgreementDocument(msgspec.Struct, frozen=True):
    """An agreement as it is stored."""

    labels: int
    labels_equal: int
    scores: int
    scores_equal: int
    flips: dict[str, int]
    differences: LogHistogramDocument
    difference_sum: float
    difference_abs_sum: float
    difference_max: float
    worst: list[_Worst]


class Agreement:
    """Row by row: labels and scores of champion and challenger. `tolerance` is in units of the score."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance + _ROUNDING
        self._labels = self._labels_equal = 0
        self._scores = self._scores_equal = 0
        self._flips: dict[str, int] = {}
        self._differences = LogHistogram()
        self._sum = self._abs_sum = self._max = 0.0
        self._worst: list[_Worst] = []

    def fold(self, request_id: str, at: float, champion: Prediction, challenger: Prediction) -> bool:
        """Counts the rows of one request; False, and nothing counted, where the two cannot be compared."""
        labels = champion.labels is not None and challenger.labels is not None
        scores = champion.scores is not None and challenger.scores is not None
        if champion.rows != challenger.rows or not (labels or scores):
            return False
        for row in range(champion.rows):
            equal = self._label(_at(champion.labels, row), _at(challenger.labels, row)) if labels else True
            difference = self._difference(_at(champion.scores, row), _at(challenger.scores, row)) if scores else None
            near = difference is None or abs(difference) <= self._tolerance
            if not labels:
                self._scores += 1
                self._scores_equal += near
            if equal and near:
                continue
            # A flip without scores weighs as much as a probability from end to end; so does a score beside no score.
            measured = difference if difference is not None and math.isfinite(difference) else 1.0
            texts = _text(champion, row), _text(challenger, row)
            self._keep((abs(measured), at, request_id, row, *texts, measured))
        return True

    def merge(self, other: Agreement) -> None:
        """Adds another one, which stays as it is."""
        self._labels += other._labels
        self._labels_equal += other._labels_equal
        self._scores += other._scores
        self._scores_equal += other._scores_equal
        for kind, count in other._flips.items():
            self._flip(kind, count)
        self._differences.merge(other._differences)
        self._sum += other._sum
        self._abs_sum += other._abs_sum
        self._max = max(self._max, other._max)
        for entry in other._worst:
            self._keep(entry)

    @property
    def basis(self) -> Literal["labels", "scores"] | None:
        """On labels where there are any, else on scores; None before the first row. Rows of both kinds count."""
        if self._labels:
            return "labels"
        return "scores" if self._scores else None

    def interval(self) -> Interval | None:
        """Share of rows that agree with its anytime-valid 95 % interval; rows of one batch count as independent."""
        equal, n = self._labels_equal + self._scores_equal, self._labels + self._scores
        return Interval(equal / n, *proportion_interval(equal, n)) if n else None

    def flips(self) -> dict[str, int]:
        """The most frequent label pairs first; what does not fit stands under "other"."""
        named = {kind: count for kind, count in self._flips.items() if kind != OTHER}
        rest = self._flips.get(OTHER, 0)
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        if rest or len(ranked) > _MOST_FLIPS_SHOWN:
            rest += sum(count for _, count in ranked[_MOST_FLIPS_SHOWN - 1 :])
            return {**dict(ranked[: _MOST_FLIPS_SHOWN - 1]), OTHER: rest}
        return dict(ranked)

    def score_difference(self) -> ScoreDifference | None:
        """Challenger − champion: `mean` is signed; mean_abs, p50, p95 and max are of the absolute difference."""
        n = self._differences.total
        if not n:
            return None
        return ScoreDifference(
            n=n,
            mean=self._sum / n,
            mean_abs=self._abs_sum / n,
            p50=min(self._differences.quantile(0.5), self._max),
            p95=min(self._differences.quantile(0.95), self._max),
            max=self._max,
        )

    def worst(self) -> tuple[Disagreement, ...]:
        """At most 20 rows, the worst first."""
        return tuple(
            Disagreement(request_id=request_id, row=row, at=at, champion=said, challenger=other, difference=difference)
            for _, at, request_id, row, said, other, difference in sorted(self._worst, reverse=True)
        )

    def to_document(self) -> AgreementDocument:
        """All of it, for the snapshot."""
        return AgreementDocument(
            labels=self._labels,
            labels_equal=self._labels_equal,
            scores=self._scores,
            scores_equal=self._scores_equal,
            flips=dict(self._flips),
            differences=self._differences.to_document(),
            difference_sum=self._sum,
            difference_abs_sum=self._abs_sum,
            difference_max=self._max,
            worst=list(self._worst),
        )

    @classmethod
    def from_document(cls, tolerance: float, document: AgreementDocument) -> Agreement:
        """Reads a document back; ValueError where it contradicts itself."""
        agreement = cls(tolerance)
        agreement._labels, agreement._labels_equal = document.labels, document.labels_equal
        agreement._scores, agreement._scores_equal = document.scores, document.scores_equal
        agreement._flips = dict(document.flips)
        agreement._differences = LogHistogram.from_document(document.differences)
        agreement._sum, agreement._abs_sum = document.difference_sum, document.difference_abs_sum
        agreement._max = document.difference_max
        for entry in document.worst:
            agreement._keep(entry)
        return agreement

    def _label(self, champion: str | float, challenger: str | float) -> bool:
        self._labels += 1
        if champion == challenger:
            self._labels_equal += 1
            return True
        self._flip(f"{_cut(str(champion))}→{_cut(str(challenger))}", 1)
        return False

    def _difference(self, champion: str | float, challenger: str | float) -> float:
        """The difference; 0 where both are the same infinity or both are missing, else possibly not finite."""
        said, other = float(champion), float(challenger)
        if said == other or (math.isnan(said) and math.isnan(other)):
            difference = 0.0
        else:
            difference = other - said
            if math.isnan(difference):  # one of them is missing: as far apart as can be
                difference = math.inf
        if math.isfinite(difference) and math.isfinite(said):
            size = abs(difference)
            self._differences.add(size)
            self._sum += difference
            self._abs_sum += size
            self._max = max(self._max, size)
        return difference

    def _flip(self, kind: str, count: int) -> None:
        if kind not in self._flips and len(self._flips) >= _MOST_FLIPS_KEPT:
            kind = OTHER
        self._flips[kind] = self._flips.get(kind, 0) + count

    def _keep(self, entry: _Worst) -> None:
        if len(self._worst) < _MOST_WORST:
            heapq.heappush(self._worst, entry)
        elif entry > self._worst[0]:
            heapq.heapreplace(self._worst, entry)


def _at(values: tuple[str, ...] | tuple[float, ...] | None, row: int) -> str | float:
    return values[row] if values is not None else ""


def _text(prediction: Prediction, row: int) -> str:
    """For people: "1 (0.93)", "1" or "0.93"."""
    score = f"{prediction.scores[row]:.6g}" if prediction.scores is not None else ""
    if prediction.labels is None:
        return score
    label = _cut(prediction.labels[row])
    return _cut(f"{label} ({score})") if score else label


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH else text[: _TEXT_LENGTH - 1] + "…"
