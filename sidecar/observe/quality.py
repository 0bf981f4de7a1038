"""How good each version is on rows whose outcome is known, and which of two was right on the same rows.

Invariant: counts add and can be taken back, so corrected outcomes, merges and the order of arrival leave the same
numbers (error sums up to rounding). A version that gives only scores is judged at 0.5 where the outcome is 0 or 1,
by its error where the outcome is a number. Does not match outcomes to predictions (`control/decisions` does) nor
judge versions (`decide/gates` does). Called by the control's intake.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import astuple

from sidecar.observe.outcomes import as_number, label_text
from sidecar.reports import PairedQuality, VersionQuality
from sidecar.stats.quality import QualityCounts

_FORMAT: Literal[1] = 1
_LARGEST_ERROR = 1e290  # so that no sum of them becomes infinite
_BOOLEANS = {"1": "true", "0": "false"}
_NUMBERS = {"true": "1", "false": "0"}
_OF_TWO_CLASSES = frozenset({"precision", "recall", "specificity", "f1"})


class RowPrediction(msgspec.Struct, frozen=True, array_like=True):
    """What one version said for one row: a label, a score, or both."""

    label: str | None
    score: float | None


class Tally(msgspec.Struct, frozen=True):
    """One version's sums over rows with an outcome.

    Attributes:
        matched: rows with an outcome, judged or not.
        counts: labels and probabilities.
        many: judged labels that are not of two classes, so that precision, recall and specificity mean nothing.
        errors, error_sum: rows with a score and a number as outcome, and the summed absolute error.
        wide: those of them that cannot be a probability and a 0 or 1: the version predicts amounts.
    """

    matched: int = 0
    counts: QualityCounts = QualityCounts()
    many: int = 0
    errors: int = 0
    error_sum: float = 0.0
    wide: int = 0

    def plus(self, other: Tally, sign: Literal[1, -1] = 1) -> Tally:
        """The sum, or with sign -1 the difference."""
        join = operator.add if sign == 1 else operator.sub
        return Tally(
            matched=join(self.matched, other.matched),
            counts=QualityCounts(*map(join, astuple(self.counts), astuple(other.counts))),
            many=join(self.many, other.many),
            errors=join(self.errors, other.errors),
            error_sum=join(self.error_sum, other.error_sum),
            wide=join(self.wide, other.wide),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that are known and mean something."""
        if self.wide:
            return {"mae": max(0.0, self.error_sum) / self.errors}
        known = self.counts.metrics
        return {name: value for name, value in known.items() if not (self.many and name in _OF_TWO_CLASSES)}


class _Judged(NamedTuple):
    """One row's tally, and whether it was right; None where it can be neither."""

    tally: Tally
    right: bool | None


class _Pair(msgspec.Struct):
    """Champion and challenger on the same rows."""

    champion: Tally = Tally()
    challenger: Tally = Tally()
    better: int = 0
    worse: int = 0
    same: int = 0


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    predicted: dict[str, int]
    tallies: dict[str, Tally]
    pairs: list[tuple[str, str, _Pair]]


class QualityObserver:
    """All versions of one deployment, and their pairs."""

    def __init__(self) -> None:
        self._predicted: dict[str, int] = {}
        self._tallies: dict[str, Tally] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that predicted or were judged, in the order of their first row."""
        return tuple({**self._predicted, **self._tallies})

    def fold_predicted(self, version: str, rows: int) -> None:
        """`rows` more rows were predicted; the share of them with an outcome is the coverage."""
        self._predicted[version] = self._predicted.get(version, 0) + rows

    def fold(self, version: str, prediction: RowPrediction, outcome: str | float, sign: Literal[1, -1] = 1) -> None:
        """One row's outcome for one version; sign -1 takes it back when the outcome was corrected."""
        self._add(version, _judge(prediction, outcome), sign)

    def fold_row(
        self,
        champion: str,
        predictions: Mapping[str, RowPrediction],
        outcome: str | float,
        replaces: str | float | None = None,
    ) -> None:
        """A matched outcome for every version that predicted the row, and for each challenger beside the champion.

        Where either of the two cannot be right or wrong, the pair is not counted.
        `replaces` is the value that a correction took the place of: it is taken back first.
        """
        if replaces is not None:
            self._fold_row(champion, predictions, replaces, -1)
        self._fold_row(champion, predictions, outcome, 1)

    def forget_pair(self, champion: str, challenger: str) -> None:
        """Starts the evidence on a pair anew; the versions' own numbers stay."""
        self._pairs.pop((champion, challenger), None)

    def report(self, version: str) -> VersionQuality:
        """One version on all its rows with an outcome."""
        return _report(version, self._predicted.get(version, 0), self._tallies.get(version, Tally()))

    def errors(self, version: str) -> tuple[int, int]:
        """Wrong rows and judged rows of one version; rows that can be neither right nor wrong are in none."""
        counts = self._tallies.get(version, Tally()).counts
        return counts.n - counts.correct, counts.n

    def paired(self, champion: str, challenger: str) -> PairedQuality:
        """Both on the rows that both predicted and whose outcome is known; `matched` = better + worse + same."""
        pair = self._pairs.get((champion, challenger), _Pair())
        predicted = self._predicted.get
        return PairedQuality(
            champion=_report(champion, predicted(champion, 0), pair.champion),
            challenger=_report(challenger, predicted(challenger, 0), pair.challenger),
            matched=pair.better + pair.worse + pair.same,
            better=pair.better,
            worse=pair.worse,
            same=pair.same,
        )

    def merge(self, other: QualityObserver) -> None:
        """Adds another one, which stays as it is."""
        for version, rows in list(other._predicted.items()):
            self.fold_predicted(version, rows)
        for version, tally in list(other._tallies.items()):
            self._tallies[version] = self._tallies.get(version, Tally()).plus(tally)
        for key, theirs in list(other._pairs.items()):
            pair = self._pairs.get(key, _Pair())
            self._pairs[key] = _Pair(
                champion=pair.champion.plus(theirs.champion),
                challenger=pair.challenger.plus(theirs.challenger),
                better=pair.better + theirs.better,
                worse=pair.worse + theirs.worse,
                same=pair.same + theirs.same,
            )

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        pairs = [(champion, challenger, pair) for (champion, challenger), pair in self._pairs.items()]
        return msgspec.msgpack.encode(_Snapshot(_FORMAT, self._predicted, self._tallies, pairs))

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        self._predicted, self._tallies = stored.predicted, stored.tallies
        self._pairs = {(champion, challenger): pair for champion, challenger, pair in stored.pairs}

    def _fold_row(
        self, champion: str, predictions: Mapping[str, RowPrediction], outcome: str | float, sign: Literal[1, -1]
    ) -> None:
        judged = {version: _judge(prediction, outcome) for version, prediction in predictions.items()}
        for version, row in judged.items():
            self._add(version, row, sign)
            if version != champion and champion in judged:
                self._add_pair((champion, version), judged[champion], row, sign)

    def _add(self, version: str, judged: _Judged, sign: Literal[1, -1]) -> None:
        self._tallies[version] = self._tallies.get(version, Tally()).plus(judged.tally, sign)

    def _add_pair(self, key: tuple[str, str], champion: _Judged, challenger: _Judged, sign: Literal[1, -1]) -> None:
        if champion.right is None or challenger.right is None:
            return
        pair = self._pairs.setdefault(key, _Pair())
        pair.champion = pair.champion.plus(champion.tally, sign)
        pair.challenger = pair.challenger.plus(challenger.tally, sign)
        pair.better += sign * (challenger.right and not champion.right)
        pair.worse += sign * (champion.right and not challenger.right)
        pair.same += sign * (champion.right == challenger.right)


def _judge(prediction: RowPrediction, outcome: str | float) -> _Judged:
    truth, score = label_text(outcome), prediction.score
    probability = score is not None and 0.0 <= score <= 1.0
    said = label_text(prediction.label) if prediction.label is not None else None
    if said is None and probability and score is not None and (truth in _BOOLEANS or truth in _NUMBERS):
        said = "1" if score >= 0.5 else "0"
    # 1 and true are the same truth: outcomes come from other systems than labels.
    if said in _NUMBERS:
        truth = _BOOLEANS.get(truth, truth)
    elif said in _BOOLEANS:
        truth = _NUMBERS.get(truth, truth)
    counts, right, two = QualityCounts(), None, False
    if said is not None:
        positive = next((yes for yes, no in (("1", "0"), ("true", "false")) if {said, truth} <= {yes, no}), None)
        two = positive is not None
        counts, right = counts.label(said, truth, positive=positive), said == truth
        if two and probability and score is not None:
            counts = counts.score(score, truth == positive)
    number = as_number(outcome) if prediction.label is None and score is not None else None
    error = abs(number - score) if number is not None and score is not None else math.nan
    measured = error <= _LARGEST_ERROR
    tally = Tally(
        matched=1,
        counts=counts,
        many=int(said is not None and not two),
        errors=int(measured),
        error_sum=error if measured else 0.0,
        wide=int(measured and not two),
    )
    return _Judged(tally, right)


def _report(version: str, predicted: int, tally: Tally) -> VersionQuality:
    return VersionQuality(
        version=version,
        predicted=predicted,
        matched=tally.matched,
        coverage=min(1.0, tally.matched / predicted) if predicted else None,
        metrics=tally.metrics,
    )
