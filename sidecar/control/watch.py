"""One deployment under watch: exchanges and outcomes in, reports out.

Keeps: evidence belongs to one generation, one pair and one baseline, and begins anew when any changes; what happens
under an open `data.broken` alarm is recorded and answered for, but is no evidence (its rows carry generation 0).
Does not: write to disk, open alarms, or judge. Called by the intake (through `desk`), and by whoever reads.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from registry_client.baseline import Baseline
from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.decision_row import DecisionRow, Joined, rows_of
from sidecar.decide.routing import shadows
from sidecar.observe.comparison import ComparisonObserver
from sidecar.observe.drift import DriftObserver
from sidecar.observe.quality import QualityObserver
from sidecar.observe.row_budget import RowBudget
from sidecar.payload.reading import read_features, read_prediction
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Answer, Exchange, Leg, Prediction, Sample, ShadowCounts
from sidecar.reports import Copies, DriftReport
from sidecar.standing import DeploymentState

VOID = 0  # the generation of rows that are no evidence
_FADING = 0.9  # per second: health looks at about the last ten


class _Memory(msgspec.Struct):
    """What a restart must know beside the observers' own snapshots."""

    generation: int
    baseline_digest: str | None
    seen: dict[str, dict[str, ShadowCounts]]
    undecodable: dict[str, int]


class DeploymentWatch:
    """All observers of one deployment under its present generation and baseline."""

    def __init__(self, deployment: Deployment, state: DeploymentState, baseline: Baseline | None, now: float) -> None:
        self._budget = RowBudget(deployment.sampling.rows_per_s)
        self._seen: dict[str, dict[str, ShadowCounts]] = {}
        self._recent: dict[str, list[float]] = {}
        self.undecodable: Counter[str] = Counter()
        self.quality = QualityObserver()
        self.void = False
        self.begin(deployment, state, baseline, now)

    def begin(self, deployment: Deployment, state: DeploymentState, baseline: Baseline | None, now: float) -> None:
        """New evidence: another champion, challenger or baseline. Each version's own quality goes on."""
        self.deployment = deployment
        self.state = state
        self.baseline = baseline
        self.began = now
        self.paired = QualityObserver()
        self.comparisons = {
            shadow.to.version: ComparisonObserver(
                state.champion, shadow.to.version, score_tolerance=deployment.score_tolerance, now=now
            )
            for shadow in shadows(deployment, state)
        }
        drift = deployment.drift
        self.drift_observer = (
            DriftObserver(
                baseline,
                bucket_s=drift.bucket_s,
                false_alarm_days=drift.false_alarm_days,
                tolerance=drift.tolerance,
                now=now,
            )
            if baseline is not None
            else None
        )
        names = deployment.payload.features
        self._names = names or (tuple(f.name for f in baseline.features) if baseline is not None else ())

    # --- facts come in ---------------------------------------------------------------------------------------

    def fold(self, exchange: Exchange) -> list[DecisionRow]:
        """One exchange; the rows to keep until their outcomes come."""
        champion = self._prediction(exchange.champion)
        predictions = {} if champion is None else {exchange.champion.version: champion}
        for leg in exchange.shadows:
            said = self._prediction(leg)
            if said is not None:
                predictions[leg.version] = said
        for version, said in predictions.items():
            self.quality.fold_predicted(version, said.rows)
        current = exchange.generation == self.state.generation
        if current:
            self._sample(exchange, champion)
        if current and not self.void:
            for leg in exchange.shadows:
                comparison = self.comparisons.get(leg.version)
                if comparison is not None:
                    comparison.fold(exchange, leg, champion, predictions.get(leg.version))
            for version, said in predictions.items():
                self.paired.fold_predicted(version, said.rows)
        evidence = exchange if not self.void else msgspec.structs.replace(exchange, generation=VOID)
        return rows_of(evidence, predictions)

    def _sample(self, exchange: Exchange, champion: Prediction | None) -> None:
        if self.drift_observer is None:
            return
        deployment = self.deployment
        try:
            rows, features = read_features(
                deployment.protocol, exchange.content_type, exchange.content_encoding, exchange.body, self._names
            )
        except Undecodable as fault:
            self.undecodable[fault.reason] += 1
            return
        if self._budget.admits(exchange.request_id, rows, exchange.at):
            self.drift_observer.fold(Sample(exchange.request_id, exchange.at, rows, features, champion))
        else:
            self.drift_observer.pass_over(rows)

    def _prediction(self, leg: Leg) -> Prediction | None:
        answer: Answer | None = leg.answer
        if answer is None or leg.error is not None:
            return None
        deployment = self.deployment
        try:
            return read_prediction(
                deployment.protocol,
                answer.content_type,
                answer.content_encoding,
                answer.body,
                deployment.payload.prediction,
            )
        except Undecodable as fault:
            self.undecodable[f"answer_{fault.reason}"] += 1
            return None

    def fold_counts(self, worker: str, counts: ShadowCounts) -> None:
        """A worker's cumulative counts of copies; the difference to the last ones is what is new."""
        seen = self._seen.setdefault(worker, {})
        key = f"{counts.generation}/{counts.version}"
        before = seen.get(key)
        seen[key] = msgspec.structs.replace(counts, errors=dict(counts.errors), dropped=dict(counts.dropped))
        comparison = self.comparisons.get(counts.version)
        if comparison is None or counts.generation != self.state.generation:
            return
        delta = _difference(counts, before)
        if not self.void:
            comparison.fold_copies(delta)
        recent = self._recent.setdefault(counts.version, [0.0, 0.0])
        failed = sum(delta.errors.values()) + delta.dropped.get("connect_error", 0) + delta.dropped.get("timeout", 0)
        recent[0] = _FADING * recent[0] + max(0, delta.answered - failed)
        recent[1] = _FADING * recent[1] + failed

    def fold_joined(self, joined: Joined) -> None:
        """A row's outcome: for every version's quality, and as evidence if the row belongs to this generation."""
        self.quality.fold_row(joined.champion, joined.predictions, joined.outcome, joined.replaces)
        if joined.generation == self.state.generation:
            self.paired.fold_row(joined.champion, joined.predictions, joined.outcome, joined.replaces)

    def tick(self, now: float) -> None:
        """Once a second."""
        if self.drift_observer is not None:
            self.drift_observer.tick(now)

    # --- what is known ---------------------------------------------------------------------------------------

    def failing(self, version: str) -> bool | None:
        """Whether most of a challenger's last copies failed; None before the first."""
        ok, failed = self._recent.get(version, (0.0, 0.0))
        return None if ok + failed < 0.5 else failed > ok

    def drift(self) -> DriftReport:
        """Live against training. Without a baseline nothing is judged, and the report says so."""
        if self.drift_observer is not None:
            report = self.drift_observer.report("training")
            return msgspec.structs.replace(report, undecodable=sum(self.undecodable.values()))
        return DriftReport(
            against="training",
            baseline_model=None,
            baseline_version=None,
            baseline_digest=None,
            rows_seen=0,
            rows_sampled=0,
            undecodable=sum(self.undecodable.values()),
            severity="none",
            features=(),
            prediction=None,
        )

    # --- over restarts ---------------------------------------------------------------------------------------

    def snapshots(self, now: float) -> list[Snapshot]:
        """Everything that a restart carries on from. Quality is not among it: it is counted anew from disk."""
        name = self.deployment.name
        digest = self.baseline.digest if self.baseline is not None else None
        memory = _Memory(self.state.generation, digest, self._seen, dict(self.undecodable))
        saved = [Snapshot(name, "memory", msgspec.msgpack.encode(memory), now)]
        if self.drift_observer is not None:
            saved.append(Snapshot(name, "drift", self.drift_observer.snapshot(), now))
        saved += [Snapshot(name, f"comparison/{v}", o.snapshot(), now) for v, o in self.comparisons.items()]
        return saved

    def restore(self, saved: dict[str, Snapshot]) -> None:
        """Carries on where the snapshots left off, if they are of this generation and baseline. Raises ValueError."""
        if "memory" not in saved:
            return
        memory = msgspec.msgpack.decode(saved["memory"].blob, type=_Memory)
        self._seen = memory.seen
        digest = self.baseline.digest if self.baseline is not None else None
        if memory.generation != self.state.generation:
            return
        self.undecodable = Counter(memory.undecodable)
        for version, observer in self.comparisons.items():
            if f"comparison/{version}" in saved:
                observer.restore(saved[f"comparison/{version}"].blob)
        if self.drift_observer is not None and memory.baseline_digest == digest and "drift" in saved:
            self.drift_observer.restore(saved["drift"].blob)


def _difference(now: ShadowCounts, before: ShadowCounts | None) -> Copies:
    if before is None:
        return Copies(mirrored=now.mirrored, answered=now.answered, errors=now.errors, dropped=now.dropped)
    return Copies(
        mirrored=now.mirrored - before.mirrored,
        answered=now.answered - before.answered,
        errors={kind: n - before.errors.get(kind, 0) for kind, n in now.errors.items()},
        dropped={reason: n - before.dropped.get(reason, 0) for reason, n in now.dropped.items()},
    )
