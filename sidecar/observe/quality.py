"""How good each version is on rows whose outcome is known, and which of two was right on the same rows.

Invariant: counts add and can be taken back, so corrected outcomes, merges and the order of arrival leave the same
numbers (sums of losses up to rounding). A version that gives only scores is judged at `threshold` where the outcome is
0 or 1, by its error where the outcome is a number. Does not match outcomes to predictions (`control/decisions` does)
nor judge versions (`decide/gates` does). Called by the control's intake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from sidecar.observe.cohorts import Cohorts, CohortsDocument, decisions_of
from sidecar.observe.judged import RowPrediction
from sidecar.observe.judged_rows import JudgedRows, Spelling, judge_rows
from sidecar.observe.quality_pair import QualityPair, QualityPairDocument
from sidecar.observe.tally import Tally, TallyDocument
from sidecar.reports import PairedQuality, VersionQuality
from sidecar.stats.quality import QualityCounts

__all__ = ["QualityObserver", "RowPrediction"]

_FORMAT: Literal[2] = 2
_BATCH = 1_024
# What each version said, the outcome, 1 or -1 to take it back, when it was predicted, its segments.
_Waiting = tuple[Mapping[str, RowPrediction], str | float, Literal[1, -1], float | None, Sequence[str]]
Pair = tuple[str, str]


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[2]
    predicted: dict[str, int]
    tallies: dict[str, TallyDocument]
    pairs: list[tuple[str, str, QualityPairDocument]]
    cohorts: CohortsDocument


class _Predicted(msgspec.Struct, frozen=True):
    """What was predicted, without any outcome."""

    format: Literal[2]
    predicted: dict[str, int]
    cohorts: CohortsDocument


class QualityObserver:
    """All versions of one deployment, and unless `in_pairs` is False their pairs.

    `threshold`: scores from it on mean the positive class. Rows are summed up in batches, at the latest when asked.
    """

    def __init__(self, threshold: float = 0.5, *, in_pairs: bool = True) -> None:
        self._threshold = threshold
        self._predicted: dict[str, int] = {}
        self._tallies: dict[str, Tally] = {}
        self._pairs: dict[Pair, QualityPair] = {}
        self._cohorts = Cohorts()
        self._in_pairs = in_pairs
        self._spelling = Spelling()
        self._waiting: dict[tuple[str, ...], list[_Waiting]] = {}
        self._waiting_rows = 0
        self._delays: list[float] = []

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that predicted or were judged, in the order of their first row."""
        self._take()
        return tuple({**self._predicted, **self._tallies})

    def fold_predicted(self, version: str, rows: int) -> None:
        """`rows` more rows were predicted; the share of them with an outcome is the coverage."""
        self._predicted[version] = self._predicted.get(version, 0) + rows

    def fold_row_predicted(
        self,
        at: float,
        champion: str,
        predictions: Mapping[str, RowPrediction],
        decisions: Mapping[str, str] | None = None,
    ) -> None:
        """One row as all versions predicted it at `at`, seconds since the epoch: from it maturity is known.

        `decisions`: `decisions_of` the predictions, where somebody has them.
        """
        said = predictions.get(champion)
        if said is not None:
            decided = decisions if decisions is not None else decisions_of(predictions, self._threshold)
            self._cohorts.fold_predicted(at, champion, said.score, decided)

    def fold(self, version: str, prediction: RowPrediction, outcome: str | float, sign: Literal[1, -1] = 1) -> None:
        """One row's outcome for one version; sign -1 takes it back when the outcome was corrected."""
        self._wait("", {version: prediction}, outcome, sign, None, ())

    def fold_row(
        self,
        champion: str,
        predictions: Mapping[str, RowPrediction],
        outcome: str | float,
        replaces: str | float | None = None,
        *,
        at: float | None = None,
        received: float | None = None,
        segments: Sequence[str] = (),
    ) -> None:
        """A matched outcome for every version that predicted the row, and for each challenger beside the champion.

        Where either of the two cannot be right or wrong, the pair is not counted.
        `replaces` is the value that a correction took the place of: it is taken back first. `at` is when the row was
        predicted and `received` when the outcome came, seconds since the epoch; without `at` it never matures.
        """
        if replaces is not None:
            self._wait(champion, predictions, replaces, -1, at, segments)
        self._wait(champion, predictions, outcome, 1, at, segments)
        if at is not None and received is not None and replaces is None:
            self._delays.append(received - at)

    def forget_pair(self, champion: str, challenger: str) -> None:
        """Starts the evidence on a pair anew; the versions' own numbers stay."""
        self._take()
        self._pairs.pop((champion, challenger), None)
        self._cohorts.forget(challenger)

    def report(self, version: str, *, intervals: bool = True) -> VersionQuality:
        """One version on all its rows with an outcome."""
        self._take()
        return _report(version, self._predicted.get(version, 0), self._tallies.get(version, Tally()), intervals)

    def errors(self, version: str) -> tuple[int, int]:
        """Wrong rows and judged rows of one version; rows that can be neither right nor wrong are in none."""
        self._take()
        tally = self._tallies.get(version)
        return (tally.counts.n - tally.counts.correct, tally.counts.n) if tally is not None else (0, 0)

    def counts(self, version: str) -> QualityCounts:
        """Labels and probabilities of one version, counted; to be read."""
        self._take()
        tally = self._tallies.get(version)
        return tally.counts if tally is not None else QualityCounts()

    def amounts(self, version: str) -> tuple[int, int, int]:
        """Rows, sum of |error| and of error² (`exact_sum`'s units) of a version that predicts amounts; else zeros."""
        self._take()
        tally = self._tallies.get(version)
        if tally is None or tally.wide <= 0:
            return 0, 0, 0
        return tally.errors, tally.sums[0], tally.sums[1]

    def paired(self, champion: str, challenger: str, now: float | None = None) -> PairedQuality:
        """Both on the rows that both predicted and whose outcome is known; `matched` = better + worse + same.

        With `now`, seconds since the epoch, also what is mature by then.
        """
        self._take()
        pair = self._pairs.get((champion, challenger), QualityPair())
        predicted = self._predicted.get
        return PairedQuality(
            champion=_report(champion, predicted(champion, 0), pair.champion, intervals=False),
            challenger=_report(challenger, predicted(challenger, 0), pair.challenger, intervals=False),
            matched=pair.better + pair.worse + pair.same,
            better=pair.better,
            worse=pair.worse,
            same=pair.same,
            gaps=pair.gaps(),
            maturity=None if now is None else self._cohorts.mature(challenger, now),
            segments=pair.segment_reports(),
        )

    def merge(self, other: QualityObserver) -> None:
        """Adds another one, which counts the same afterwards."""
        self._take()
        other._take()
        for version, rows in list(other._predicted.items()):
            self.fold_predicted(version, rows)
        for version, tally in list(other._tallies.items()):
            self._tally(version).merge(tally)
        for key, theirs in list(other._pairs.items()):
            self._pair(key).merge(theirs)
        self._cohorts.merge(other._cohorts)

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        self._take()
        pairs = [(champion, challenger, pair.to_document()) for (champion, challenger), pair in self._pairs.items()]
        tallies = {version: tally.to_document() for version, tally in self._tallies.items()}
        return msgspec.msgpack.encode(_Snapshot(_FORMAT, self._predicted, tallies, pairs, self._cohorts.to_document()))

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        tallies = {version: Tally.from_document(document) for version, document in stored.tallies.items()}
        pairs = {(one, two): QualityPair.from_document(document) for one, two, document in stored.pairs}
        cohorts = Cohorts.from_document(stored.cohorts)
        self._waiting, self._waiting_rows, self._delays = {}, 0, []
        self._predicted, self._tallies, self._pairs, self._cohorts = stored.predicted, tallies, pairs, cohorts

    def checkpoint(self) -> bytes:
        """What is known of pairs, small and quick: without each version's own numbers and any area under a curve."""
        self._take()
        pairs = [(one, two, pair.to_document(ranked=False)) for (one, two), pair in self._pairs.items()]
        return msgspec.msgpack.encode(_Snapshot(_FORMAT, self._predicted, {}, pairs, self._cohorts.to_document()))

    def snapshot_predicted(self) -> bytes:
        """What was predicted only, where the outcomes are read again from disk."""
        self._take()
        return msgspec.msgpack.encode(_Predicted(_FORMAT, self._predicted, self._cohorts.to_document(outcomes=False)))

    def restore_predicted(self, snapshot: bytes) -> None:
        """Takes such a snapshot up; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Predicted)
        cohorts = Cohorts.from_document(stored.cohorts)
        self._waiting, self._waiting_rows, self._delays = {}, 0, []
        self._predicted, self._cohorts = stored.predicted, cohorts

    def _wait(
        self,
        champion: str,
        predictions: Mapping[str, RowPrediction],
        outcome: str | float,
        sign: Literal[1, -1],
        at: float | None,
        segments: Sequence[str],
    ) -> None:
        self._waiting.setdefault((champion, *predictions), []).append((predictions, outcome, sign, at, segments))
        self._waiting_rows += 1
        if self._waiting_rows >= _BATCH:
            self._take()

    def _take(self) -> None:
        """Sums up the rows that wait: together they cost a small part of what they cost one by one."""
        waiting, self._waiting, self._waiting_rows = self._waiting, {}, 0
        for (champion, *versions), rows in waiting.items():
            self._take_rows(champion, versions, rows)
        delays, self._delays = self._delays, []
        if delays:
            self._cohorts.fold_delays(delays)
        self._spelling.forget()

    def _take_rows(self, champion: str, versions: Sequence[str], rows: Sequence[_Waiting]) -> None:
        outcomes = [outcome for _, outcome, _, _, _ in rows]
        signs = np.array([sign for _, _, sign, _, _ in rows], dtype=np.int64)
        said = {version: [predictions[version] for predictions, _, _, _, _ in rows] for version in versions}
        judged = {
            version: judge_rows(mine, outcomes, self._spelling, self._threshold) for version, mine in said.items()
        }
        for version, mine in judged.items():
            self._tally(version).add(mine, signs)
        if champion not in judged or not self._in_pairs:
            return
        others = [version for version in versions if version != champion]
        segments = [names for _, _, _, _, names in rows]
        for version in others:
            self._pair((champion, version)).add(
                judged[champion], judged[version], signs, segments if any(segments) else ()
            )
        ats = [at for _, _, _, at, _ in rows]
        beside = {version: _rights(judged[champion], judged[version]) for version in others}
        for place, at in enumerate(ats):
            if at is not None:
                row = {version: (said[version][place], *rights[place]) for version, rights in beside.items()}
                self._cohorts.fold_outcome(at, said[champion][place], row, self._threshold, rows[place][2])

    def _tally(self, version: str) -> Tally:
        tally = self._tallies.get(version)
        if tally is None:
            tally = self._tallies[version] = Tally()
        return tally

    def _pair(self, key: Pair) -> QualityPair:
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = QualityPair()
        return pair


def _report(version: str, predicted: int, tally: Tally, intervals: bool) -> VersionQuality:
    metrics, roc = tally.metrics, tally.roc.read()
    coverage = min(1.0, tally.matched / predicted) if predicted else None
    accuracy = metrics.get("accuracy")
    bounds = None
    if accuracy is not None and coverage is not None:
        bounds = accuracy * coverage, accuracy * coverage + 1.0 - coverage
    return VersionQuality(
        version=version,
        predicted=predicted,
        matched=tally.matched,
        coverage=coverage,
        metrics=metrics,
        intervals=tally.intervals() if intervals else {},
        auc_error=roc.error if roc is not None and "auc" in metrics else None,
        bounds=bounds,
        reliability=tally.reliability(),
    )


def _rights(champion: JudgedRows, challenger: JudgedRows) -> list[tuple[bool | None, bool | None]]:
    """Of each row whether champion and challenger were right; None where they can be neither."""
    columns = (
        [right if judged else None for right, judged in zip(one.right.tolist(), one.judged.tolist(), strict=True)]
        for one in (champion, challenger)
    )
    return list(zip(*columns, strict=True))
