"""Where two versions say the same about the same row, and where they do not.

Invariant: counts add, so merging two is exact but for the rounding of the difference sums; memory is bounded
whatever labels come. Each row counts once: by its labels where both versions give them, else by its scores within the
tolerance, so a few labels never speak for many rows without. Feature values never get here; texts are cut. Does not
judge: the agreement gate does. Used by the comparison observer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from registry_client.log_histogram import LogHistogramDocument
from sidecar.observe.confusion import OTHER, Confusion, cut
from sidecar.observe.score_gaps import ScoreGaps, ScoreGapsDocument
from sidecar.records import Prediction
from sidecar.reports import Disagreement, Interval, ScoreDifference, SegmentAgreement, ThresholdFlips
from sidecar.stats.confidence import proportion_interval

__all__ = ["OTHER", "Agreement", "AgreementDocument", "Tolerance"]

MOST_SEGMENTS = 64
_MOST_WORST = 20
_ROUNDING = 1e-12  # 0.51 - 0.50 is a hair more than 0.01 in floating point
_SIDES = {"1": True, "0": False, "true": True, "false": False}

# (severity, at, request id, row, champion's text, challenger's text, difference): ordered, so that ties are settled.
_Worst = tuple[float, float, str, int, str, str, float]


class Tolerance(msgspec.Struct, frozen=True):
    """Scores agree within `absolute` plus `relative` of the champion's; from `threshold` on they mean the positive."""

    absolute: float
    relative: float = 0.0
    threshold: float = 0.5

    def near(self, difference: float, champion: float) -> bool:
        """Whether two scores agree; a difference that is not finite never does."""
        allowed = self.absolute + self.relative * abs(champion) if self.relative else self.absolute
        return abs(difference) <= allowed + _ROUNDING


class AgreementDocument(msgspec.Struct, frozen=True):
    """An agreement as it is stored. Earlier versions wrote `flips` and the four fields after `flips`."""

    labels: int
    labels_equal: int
    scores: int
    scores_equal: int
    worst: list[_Worst]
    flips: dict[str, int] = {}
    differences: LogHistogramDocument = LogHistogramDocument()
    difference_sum: float = 0.0
    difference_abs_sum: float = 0.0
    difference_max: float = 0.0
    confusion: list[tuple[str, str, int]] = []
    gaps: ScoreGapsDocument | None = None
    sides: tuple[int, int, int] = (0, 0, 0)
    segments: dict[str, tuple[int, int]] = {}


class Agreement:
    """Row by row: labels and scores of champion and challenger; `tolerance` in units of the score, or all of it."""

    def __init__(self, tolerance: float | Tolerance) -> None:
        self._tolerance = tolerance if isinstance(tolerance, Tolerance) else Tolerance(tolerance)
        self._labels = self._labels_equal = 0
        self._scores = self._scores_equal = 0
        self._confusion, self._gaps = Confusion(), ScoreGaps()
        self._sides = self._ups = self._downs = 0
        self._segments: dict[str, tuple[int, int]] = {}
        self._worst: list[_Worst] = []

    def fold(
        self,
        request_id: str,
        at: float,
        champion: Prediction,
        challenger: Prediction,
        segments: Sequence[Sequence[str]] = (),
    ) -> str | None:
        """Counts the rows of one request; why they cannot be compared, and nothing counted, where they cannot.

        `segments`: the names of those that each row belongs to.
        """
        labels = champion.labels is not None and challenger.labels is not None
        scores = champion.scores is not None and challenger.scores is not None
        if champion.rows != challenger.rows:
            return "rows"
        if not (labels or scores):
            return "type"
        for row in range(champion.rows):
            equal = self._label(_at(champion.labels, row), _at(challenger.labels, row)) if labels else True
            near, difference = True, None
            if scores:
                said, other = float(_at(champion.scores, row)), float(_at(challenger.scores, row))
                difference = self._gaps.fold(said, other)
                near = self._tolerance.near(difference, said)
            if not labels:
                self._scores += 1
                self._scores_equal += near
            self._side(champion, challenger, row)
            for segment in segments[row] if segments else ():
                self._segment(segment, 1, int(equal if labels else near))
            if equal and near:
                continue
            # A flip without scores weighs as much as a probability from end to end; so does a score beside no score.
            measured = difference if difference is not None and math.isfinite(difference) else 1.0
            texts = _text(champion, row), _text(challenger, row)
            self._keep((abs(measured), at, request_id, row, *texts, measured))
        return None

    def merge(self, other: Agreement) -> None:
        """Adds another one, which stays as it is."""
        self._labels += other._labels
        self._labels_equal += other._labels_equal
        self._scores += other._scores
        self._scores_equal += other._scores_equal
        self._confusion.merge(other._confusion)
        self._gaps.merge(other._gaps)
        self._sides += other._sides
        self._ups += other._ups
        self._downs += other._downs
        for segment, (pairs, agreeing) in list(other._segments.items()):
            self._segment(segment, pairs, agreeing)
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
        return _share(self._labels_equal + self._scores_equal, self._labels + self._scores)

    def flips(self) -> dict[str, int]:
        """The most frequent label pairs first; what does not fit stands under "other"."""
        return self._confusion.flips()

    def confusion(self) -> tuple[tuple[str, str, int], ...]:
        """(champion's label, challenger's label, rows), the most frequent first."""
        return self._confusion.most()

    def kappa(self) -> float | None:
        """Cohen's, of the labels."""
        return self._confusion.kappa()

    def threshold_flips(self) -> ThresholdFlips | None:
        """Rows of two classes by what the two decide; None before the first."""
        if not self._sides:
            return None
        return ThresholdFlips(n=self._sides, up=self._ups, down=self._downs)

    def score_difference(self) -> ScoreDifference | None:
        """Challenger − champion: `mean` is signed; mean_abs, p50, p95 and max are of the absolute difference."""
        return self._gaps.summary()

    @property
    def gaps(self) -> ScoreGaps:
        """Everything about the scores, to be read."""
        return self._gaps

    def segments(self) -> tuple[SegmentAgreement, ...]:
        """By name."""
        return tuple(
            SegmentAgreement(segment=segment, pairs=pairs, agreement=_share(agreeing, pairs))
            for segment, (pairs, agreeing) in sorted(self._segments.items())
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
            worst=list(self._worst),
            confusion=self._confusion.cells(),
            gaps=self._gaps.to_document(),
            sides=(self._sides, self._ups, self._downs),
            segments=dict(self._segments),
        )

    @classmethod
    def from_document(cls, tolerance: float | Tolerance, document: AgreementDocument) -> Agreement:
        """Reads a document back; ValueError where it contradicts itself."""
        agreement = cls(tolerance)
        agreement._labels, agreement._labels_equal = document.labels, document.labels_equal
        agreement._scores, agreement._scores_equal = document.scores, document.scores_equal
        agreement._confusion = Confusion(document.confusion or _of_flips(document))
        agreement._gaps = ScoreGaps.from_document(document.gaps or _of_differences(document))
        agreement._sides, agreement._ups, agreement._downs = document.sides
        agreement._segments = dict(document.segments)
        for entry in document.worst:
            agreement._keep(entry)
        return agreement

    def _label(self, champion: str | float, challenger: str | float) -> bool:
        self._labels += 1
        self._confusion.add(str(champion), str(challenger))
        equal = champion == challenger
        self._labels_equal += equal
        return equal

    def _side(self, champion: Prediction, challenger: Prediction, row: int) -> None:
        threshold = self._tolerance.threshold
        was, now = _decides(champion, row, threshold), _decides(challenger, row, threshold)
        if was is not None and now is not None:
            self._sides += 1
            self._ups += now and not was
            self._downs += was and not now

    def _segment(self, segment: str, pairs: int, agreeing: int) -> None:
        if segment not in self._segments and len(self._segments) >= MOST_SEGMENTS:
            segment = OTHER
        before = self._segments.get(segment, (0, 0))
        self._segments[segment] = before[0] + pairs, before[1] + agreeing

    def _keep(self, entry: _Worst) -> None:
        if len(self._worst) < _MOST_WORST:
            heapq.heappush(self._worst, entry)
        elif entry > self._worst[0]:
            heapq.heapreplace(self._worst, entry)


def _share(part: int, whole: int) -> Interval | None:
    return Interval(part / whole, *proportion_interval(part, whole)) if whole else None


def _decides(said: Prediction, row: int, threshold: float) -> bool | None:
    """Which of two classes it is; None where there are not two, or no score."""
    if said.labels is not None:
        return _SIDES.get(said.labels[row])
    score = said.scores[row] if said.scores is not None else math.nan
    return score >= threshold if 0.0 <= score <= 1.0 else None


def _of_flips(document: AgreementDocument) -> list[tuple[str, str, int]]:
    """Of an earlier version, which kept no rows that agree by label: they are not named."""
    named = [(*kind.partition("→")[::2], count) for kind, count in document.flips.items() if kind != OTHER]
    unnamed = document.flips.get(OTHER, 0)
    return [*named, (OTHER, f"not {OTHER}", unnamed)] if unnamed or document.labels else named


def _of_differences(document: AgreementDocument) -> ScoreGapsDocument:
    """Of an earlier version, which kept no signs."""
    return ScoreGapsDocument(
        signed=document.differences,
        sum=document.difference_sum,
        abs_sum=document.difference_abs_sum,
        max=document.difference_max,
    )


def _at(values: tuple[str, ...] | tuple[float, ...] | None, row: int) -> str | float:
    return values[row] if values is not None else ""


def _text(prediction: Prediction, row: int) -> str:
    """For people: "1 (0.93)", "1" or "0.93"."""
    score = f"{prediction.scores[row]:.6g}" if prediction.scores is not None else ""
    if prediction.labels is None:
        return score
    label = cut(prediction.labels[row])
    return cut(f"{label} ({score})") if score else label
