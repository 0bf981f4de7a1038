"""One challenger beside one champion on the same requests: what the gates and the comparison view read.

Invariant: counts of exactly one pair of versions (exchanges of another pair are passed over); everything adds, so
workers, replicas and restarts merge; memory is bounded. Only `fold_copies` knows of copies that never began: they
are counted by the workers. Does not judge, reads no clock, keeps no feature value. Called by the control's intake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.observe.agreement import Agreement, AgreementDocument, Tolerance
from sidecar.observe.arrivals import Arrivals, ArrivalsDocument
from sidecar.observe.comparison_counts import ComparisonCounts, added_to
from sidecar.observe.mirrored_time import MirroredTime
from sidecar.observe.noise_floor import NoiseCounts, NoiseDocument
from sidecar.observe.prediction_shift import Side, SideDocument, prediction_psi
from sidecar.observe.score_gaps import finite_cells
from sidecar.observe.vector_gaps import VectorGaps, VectorGapsDocument
from sidecar.records import DROP_REASONS, LEG_ERRORS, Exchange, Leg, Prediction, ShadowCounts
from sidecar.reports import ComparisonReport, ComparisonShape, Copies, Interval, Quantiles
from sidecar.stats.confidence import proportion_interval

_FORMAT: Literal[1] = 1
# Forms that an answer may have and the champion's has not.
STRUCTURE_FAULTS = ("unreadable", "rows", "type", "missing", "non_finite")


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    champion: str
    challenger: str
    score_tolerance: float
    since: float
    counts: ComparisonCounts
    time: MirroredTime
    agreement: AgreementDocument
    champion_predictions: SideDocument
    challenger_predictions: SideDocument
    champion_ms: LogHistogramDocument
    challenger_ms: LogHistogramDocument
    relative_tolerance: float = 0.0
    threshold: float = 0.5
    arrivals: ArrivalsDocument = ArrivalsDocument()
    noise: NoiseDocument = NoiseDocument()
    vectors: VectorGapsDocument = VectorGapsDocument()


class ComparisonObserver:
    """Evidence on one pair of versions since `now`. `score_tolerance`: scores that near each other agree.

    `self_test`: the challenger answers at the champion's own address.
    """

    def __init__(
        self,
        champion: str,
        challenger: str,
        *,
        score_tolerance: float | Tolerance,
        now: float,
        self_test: bool = False,
    ) -> None:
        self.champion = champion
        self.challenger = challenger
        self.self_test = self_test
        self.tolerance = score_tolerance if isinstance(score_tolerance, Tolerance) else Tolerance(score_tolerance)
        self._since = now
        self._counts = ComparisonCounts()
        self._time = MirroredTime()
        self._agreement = Agreement(self.tolerance)
        self._arrivals, self._noise, self._vectors = Arrivals(), NoiseCounts(), VectorGaps()
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
        segments: Sequence[Sequence[str]] = (),
    ) -> None:
        """One exchange with this challenger's leg; a prediction is None where its answer could not be read.

        An answer that cannot be read, or not be laid beside the champion's, is a failure of whoever gave it: with
        status 200 it is of no more use than an error.
        """
        if (exchange.champion.version, leg.version) != (self.champion, self.challenger) or leg.dropped is not None:
            return
        counts = self._counts
        self._time.add(exchange.at)
        self._arrivals.arrived(champion_prediction)
        counts.judged_requests += 1
        champion_kind, challenger_kind = _failure(exchange.champion), _failure(leg)
        if champion_kind is not None or challenger_kind is not None:
            self._counts.fail(champion_kind, challenger_kind)
            return
        if champion_prediction is None or challenger_prediction is None:
            counts.unpaired += 1
            # Where neither can be read the reader is at fault: another protocol, or compressed bodies.
            if champion_prediction is not None:
                added_to(counts.structure, {"unreadable": 1})
                self._counts.fail(None, "unreadable")
            elif challenger_prediction is not None:
                self._counts.fail("unreadable", None)
            return
        fault = self._agreement.fold(
            exchange.request_id, exchange.at, champion_prediction, challenger_prediction, segments
        )
        if fault is not None:
            counts.unpaired += 1
            added_to(counts.structure, {fault: 1})
            self._counts.fail(None, "structure")  # other rows or another kind of answer than the champion's
            return
        if champion_prediction.vectors is not None and challenger_prediction.vectors is not None:
            self._vectors.fold(champion_prediction.vectors, challenger_prediction.vectors)
        counts.paired_requests += 1
        counts.pairs += champion_prediction.rows
        self._predictions[0].fold(champion_prediction)
        self._predictions[1].fold(challenger_prediction)
        self._latency_ms[0].add(1000.0 * exchange.champion.latency_s)
        self._latency_ms[1].add(1000.0 * leg.latency_s)
        counts.slower += leg.latency_s > exchange.champion.latency_s

    def anew(self, now: float, tolerance: Tolerance | None = None) -> ComparisonObserver:
        """One on the same pair that begins now; copies on their way stay so, and are not lost when they arrive."""
        begun = ComparisonObserver(
            self.champion,
            self.challenger,
            score_tolerance=self.tolerance if tolerance is None else tolerance,
            now=now,
            self_test=self.self_test,
        )
        begun._arrivals.go_on_from(self._arrivals)
        return begun

    def fold_dropped(self, exchange: Exchange, champion_prediction: Prediction | None) -> None:
        """An exchange whose copy to this challenger was due, and never sent."""
        if exchange.champion.version == self.champion:
            self._arrivals.dropped(champion_prediction)

    def fold_again(self, first: Prediction, again: Prediction, challenger: Prediction) -> bool:
        """The champion's two answers to one request and the challenger's; False where they cannot be compared."""
        return self._noise.fold(first, again, challenger, self.tolerance)

    def pass_over(self, leg: Leg) -> None:
        """A leg of an exchange that is no evidence: its copy arrived, and counts for nothing else."""
        if leg.version == self.challenger and leg.dropped is None:
            self._arrivals.passed_over()

    def fold_copies(self, delta: Copies | ShadowCounts, now: float = 0.0, *, void: bool = False) -> None:
        """Copies that were mirrored, answered, dropped since the last call: differences of the workers' counters.

        `void`: they are no evidence, but those that end are to arrive.
        """
        counts = self._counts
        self._arrivals.ended(delta, now)
        if void:
            return
        counts.mirrored += delta.mirrored
        counts.answered += delta.answered
        added_to(counts.errors, delta.errors)
        added_to(counts.dropped, delta.dropped)

    def report(self, now: float) -> ComparisonReport:
        """What is known at `now`; every error kind and drop reason is there, zeros too."""
        counts = self._counts
        copies = Copies(
            mirrored=counts.mirrored,
            answered=counts.answered,
            errors=dict.fromkeys(LEG_ERRORS, 0) | counts.errors,
            dropped=dict.fromkeys(DROP_REASONS, 0) | counts.dropped,
            lost=self._arrivals.lost(),
        )
        gaps, paired = self._agreement.gaps, counts.paired_requests
        structure = counts.structure | {"missing": gaps.missing, "non_finite": gaps.non_finite}
        kinds = sorted({*counts.champion_kinds, *counts.challenger_kinds})
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
            confusion=self._agreement.confusion(),
            cohen_kappa=self._agreement.kappa(),
            spearman=gaps.spearman(),
            threshold_flips=self._agreement.threshold_flips(),
            difference_histogram=gaps.histogram(),
            structure=dict.fromkeys(STRUCTURE_FAULTS, 0) | structure,
            failures={
                kind: (counts.champion_kinds.get(kind, 0), counts.challenger_kinds.get(kind, 0)) for kind in kinds
            },
            champion_only_failures=counts.champion_only,
            challenger_only_failures=counts.challenger_only,
            slower=Interval(counts.slower / paired, *proportion_interval(counts.slower, paired)) if paired else None,
            segments=self._agreement.segments(),
            drops_e=self._arrivals.drops_e(),
            noise=self._noise.report(),
            vector_difference=self._vectors.report(),
            self_test=self._says_self_test(),
        )

    def shape(self) -> ComparisonShape:
        """The distributions behind the report."""
        champion, challenger = (finite_cells(latency) for latency in self._latency_ms)
        scores, differences = self._agreement.gaps.joint_cells(), self._agreement.gaps.cells()
        return ComparisonShape(
            scores=scores, differences=differences, latency_champion=champion, latency_challenger=challenger
        )

    def merge(self, other: ComparisonObserver) -> None:
        """Adds another one on the same pair, which stays as it is; ValueError for another pair."""
        self._require(other.champion, other.challenger, other.tolerance)
        self._counts.add(other._counts)
        self._arrivals.merge(other._arrivals)
        self._noise.merge(other._noise)
        self._vectors.merge(other._vectors)
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
                score_tolerance=self.tolerance.absolute,
                relative_tolerance=self.tolerance.relative,
                threshold=self.tolerance.threshold,
                arrivals=self._arrivals.to_document(),
                noise=self._noise.to_document(),
                vectors=self._vectors.to_document(),
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
        tolerance = Tolerance(stored.score_tolerance, stored.relative_tolerance, stored.threshold)
        self._require(stored.champion, stored.challenger, tolerance)
        agreement = Agreement.from_document(tolerance, stored.agreement)
        arrivals, noise = Arrivals.from_document(stored.arrivals), NoiseCounts.from_document(stored.noise)
        vectors = VectorGaps.from_document(stored.vectors)
        champion = Side.from_document(stored.champion_predictions), LogHistogram.from_document(stored.champion_ms)
        challenger = Side.from_document(stored.challenger_predictions), LogHistogram.from_document(stored.challenger_ms)
        self._since, self._counts, self._time, self._agreement = stored.since, stored.counts, stored.time, agreement
        self._predictions = champion[0], challenger[0]
        self._latency_ms = champion[1], challenger[1]
        self._arrivals, self._noise, self._vectors = arrivals, noise, vectors

    def rewind(self, snapshot: bytes) -> None:
        """As `restore`, to an earlier state of this same evidence; copies on their way stay so."""
        arrivals = self._arrivals
        self.restore(snapshot)
        self._arrivals.go_on_from(arrivals)

    def _says_self_test(self) -> str | None:
        if not self.self_test:
            return None
        agreement, counts = self._agreement.interval(), self._counts
        differ = "nothing was compared yet" if agreement is None else f"they differ on {1.0 - agreement.value:.2%}"
        dropped = sum(counts.dropped.values())
        return (
            f"version {self.challenger} answers at the champion's own address: this tests the sidecar, not a model;"
            f" rows that differ tell of noise, and {differ}; {dropped:,} of {counts.mirrored + dropped:,} copies were"
            f" never sent and {self._arrivals.lost():,} were lost"
        )

    def _require(self, champion: str, challenger: str, tolerance: Tolerance) -> None:
        mine, theirs = (self.champion, self.challenger, self.tolerance), (champion, challenger, tolerance)
        if mine != theirs:
            raise ValueError(f"evidence on {theirs} does not belong to {mine} (champion, challenger, tolerance)")


def _failure(leg: Leg) -> str | None:
    """The kind of failure, None for a usable answer."""
    if leg.error is not None:
        return leg.error
    if leg.answer is None:
        return "reset"
    return None if leg.answer.status < 400 else "status_4xx" if leg.answer.status < 500 else "status_5xx"


def _quantiles(latency: LogHistogram) -> Quantiles:
    if not latency.total:
        return Quantiles(0, None, None)
    return Quantiles(latency.total, latency.quantile(0.5), latency.quantile(0.99))
