"""One challenger beside one champion on the same requests: what the gates and the comparison view read.

Invariant: counts of exactly one pair of versions (exchanges of another pair are passed over); everything adds, so
workers, replicas and restarts merge; memory is bounded. Only `fold_copies` knows of copies that never began: they
are counted by the workers. Does not judge, reads no clock, keeps no feature value. Called by the control's intake.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.observe.agreement import Agreement, AgreementDocument
from sidecar.observe.mirrored_time import MirroredTime
from sidecar.observe.prediction_shift import Side, SideDocument, prediction_psi
from sidecar.records import DROP_REASONS, LEG_ERRORS, Exchange, Leg, Prediction, ShadowCounts
from sidecar.reports import ComparisonReport, Copies, Quantiles

_FORMAT: Literal[1] = 1


class _Counts(msgspec.Struct):
    """The plain integers."""

    pairs: int = 0
    paired_requests: int = 0
    judged_requests: int = 0
    champion_failures: int = 0
    challenger_failures: int = 0
    unpaired: int = 0
    mirrored: int = 0
    answered: int = 0
    errors: dict[str, int] = {}
    dropped: dict[str, int] = {}


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    champion: str
    challenger: str
    score_tolerance: float
    since: float
    counts: _Counts
    time: MirroredTime
    agreement: AgreementDocument
    champion_predictions: SideDocument
    challenger_predictions: SideDocument
    champion_ms: LogHistogramDocument
    challenger_ms: LogHistogramDocument


class ComparisonObserver:
    """Evidence on one pair of versions since `now`. `score_tolerance`: scores that near each other agree."""

    def __init__(self, champion: str, challenger: str, *, score_tolerance: float, now: float) -> None:
        self.champion = champion
        self.challenger = challenger
        self._tolerance = score_tolerance
        self._since = now
        self._counts = _Counts()
        self._time = MirroredTime()
        self._agreement = Agreement(score_tolerance)
        self._predictions = Side(), Side()
        self._latency_ms = LogHistogram(), LogHistogram()

    @property
    def since(self) -> float:
        """When this evidence began, in seconds since the epoch."""
        return self._since

    def fold(
        self,
        exchange: Exchange,
        leg: Leg,
        champion_prediction: Prediction | None,
        challenger_prediction: Prediction | None,
    ) -> None:
        """One exchange with this challenger's leg; a prediction is None where its answer could not be read.

        An answer that cannot be read, or not be laid beside the champion's, is a failure of whoever gave it: with
        status 200 it is of no more use than an error.
        """
        if (exchange.champion.version, leg.version) != (self.champion, self.challenger) or leg.dropped is not None:
            return
        counts = self._counts
        self._time.add(exchange.at)
        counts.judged_requests += 1
        champion_failed, challenger_failed = _failed(exchange.champion), _failed(leg)
        counts.champion_failures += champion_failed
        counts.challenger_failures += challenger_failed
        if champion_failed or challenger_failed:
            return
        if champion_prediction is None or challenger_prediction is None:
            counts.unpaired += 1
            # Where neither can be read the reader is at fault: another protocol, or compressed bodies.
            counts.champion_failures += champion_prediction is None and challenger_prediction is not None
            counts.challenger_failures += challenger_prediction is None and champion_prediction is not None
            return
        if not self._agreement.fold(exchange.request_id, exchange.at, champion_prediction, challenger_prediction):
            counts.unpaired += 1
            counts.challenger_failures += 1  # other rows or another kind of answer than the champion's
            return
        counts.paired_requests += 1
        counts.pairs += champion_prediction.rows
        self._predictions[0].fold(champion_prediction)
        self._predictions[1].fold(challenger_prediction)
        self._latency_ms[0].add(1000.0 * exchange.champion.latency_s)
        self._latency_ms[1].add(1000.0 * leg.latency_s)

    def fold_copies(self, delta: Copies | ShadowCounts) -> None:
        """Copies that were mirrored, answered, dropped since the last call: differences of the workers' counters."""
        counts = self._counts
        counts.mirrored += delta.mirrored
        counts.answered += delta.answered
        _add(counts.errors, delta.errors)
        _add(counts.dropped, delta.dropped)

    def report(self, now: float) -> ComparisonReport:
        """What is known at `now`; every error kind and drop reason is there, zeros too."""
        counts = self._counts
        copies = Copies(
            mirrored=counts.mirrored,
            answered=counts.answered,
            errors=dict.fromkeys(LEG_ERRORS, 0) | counts.errors,
            dropped=dict.fromkeys(DROP_REASONS, 0) | counts.dropped,
        )
        return ComparisonReport(
            since=self._since,
            mirrored_s=min(self._time.seconds, max(0.0, now - self._since)),
            copies=copies,
            pairs=counts.pairs,
            paired_requests=counts.paired_requests,
            judged_requests=counts.judged_requests,
            champion_failures=counts.champion_failures,
            challenger_failures=counts.challenger_failures,
            unpaired=counts.unpaired,
            agreement=self._agreement.interval(),
            agreement_basis=self._agreement.basis,
            flips=self._agreement.flips(),
            score_difference=self._agreement.score_difference(),
            prediction_psi=prediction_psi(*self._predictions),
            latency_champion=_quantiles(self._latency_ms[0]),
            latency_challenger=_quantiles(self._latency_ms[1]),
            worst=self._agreement.worst(),
        )

    def merge(self, other: ComparisonObserver) -> None:
        """Adds another one on the same pair, which stays as it is; ValueError for another pair."""
        self._require(other.champion, other.challenger, other._tolerance)
        counts, added = self._counts, other._counts
        counts.pairs += added.pairs
        counts.paired_requests += added.paired_requests
        counts.judged_requests += added.judged_requests
        counts.champion_failures += added.champion_failures
        counts.challenger_failures += added.challenger_failures
        counts.unpaired += added.unpaired
        counts.mirrored += added.mirrored
        counts.answered += added.answered
        _add(counts.errors, added.errors)
        _add(counts.dropped, added.dropped)
        self._since = min(self._since, other._since)
        self._time.merge(other._time)
        self._agreement.merge(other._agreement)
        for side, theirs in zip(self._predictions, other._predictions, strict=True):
            side.merge(theirs)
        for latency, theirs_ms in zip(self._latency_ms, other._latency_ms, strict=True):
            latency.merge(theirs_ms)

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        return msgspec.msgpack.encode(
            _Snapshot(
                format=_FORMAT,
                champion=self.champion,
                challenger=self.challenger,
                score_tolerance=self._tolerance,
                since=self._since,
                counts=self._counts,
                time=self._time,
                agreement=self._agreement.to_document(),
                champion_predictions=self._predictions[0].to_document(),
                challenger_predictions=self._predictions[1].to_document(),
                champion_ms=self._latency_ms[0].to_document(),
                challenger_ms=self._latency_ms[1].to_document(),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged or of another pair."""
        # msgspec's errors are ValueErrors as well.
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        self._require(stored.champion, stored.challenger, stored.score_tolerance)
        agreement = Agreement.from_document(self._tolerance, stored.agreement)
        champion = Side.from_document(stored.champion_predictions), LogHistogram.from_document(stored.champion_ms)
        challenger = Side.from_document(stored.challenger_predictions), LogHistogram.from_document(stored.challenger_ms)
        self._since, self._counts, self._time, self._agreement = stored.since, stored.counts, stored.time, agreement
        self._predictions = champion[0], challenger[0]
        self._latency_ms = champion[1], challenger[1]

    def _require(self, champion: str, challenger: str, tolerance: float) -> None:
        mine, theirs = (self.champion, self.challenger, self._tolerance), (champion, challenger, tolerance)
        if mine != theirs:
            raise ValueError(f"evidence on {theirs} does not belong to {mine} (champion, challenger, tolerance)")


def _failed(leg: Leg) -> bool:
    return leg.error is not None or leg.answer is None or leg.answer.status >= 400


def _add(counts: dict[str, int], added: dict[str, int]) -> None:
    for name, count in added.items():
        counts[name] = counts.get(name, 0) + count


def _quantiles(latency: LogHistogram) -> Quantiles:
    if not latency.total:
        return Quantiles(0, None, None)
    return Quantiles(latency.total, latency.quantile(0.5), latency.quantile(0.99))
