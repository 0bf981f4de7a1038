"""One deployment under watch: exchanges and outcomes in, reports out.

Keeps: evidence belongs to one generation, one pair and one baseline, and begins anew when any changes; what happens
under an open `data.broken` alarm is recorded and answered for, but is no evidence (its rows carry generation 0); an
alarm lasts over a transition until the new watch on the inputs has looked.
Does not: write to disk, keep alarms, or judge. Called by the intake and the rounds, and by whoever reads.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from registry_client.baseline import Baseline
from sidecar.config import Deployment, Drift
from sidecar.control.carryover import Snapshot
from sidecar.control.copy_counts import CopyCounts
from sidecar.control.decision_row import DecisionRow, Joined, rows_of
from sidecar.control.exchange_reader import ExchangeReader
from sidecar.control.input_watch import InputWatch
from sidecar.control.truths import Truths
from sidecar.decide.routing import shadows
from sidecar.observe.alarms import as_one_story
from sidecar.observe.challenger_health import ChallengerHealth
from sidecar.observe.comparison import ComparisonObserver
from sidecar.observe.drift import DriftObserver
from sidecar.observe.kept_rows import KeptRows
from sidecar.observe.mirror_silence import MirrorSilence
from sidecar.observe.quality import QualityObserver
from sidecar.records import Exchange, ShadowCounts
from sidecar.reports import AlarmChange, DriftReport
from sidecar.standing import DeploymentState, Health

VOID = 0  # the generation of rows that are no evidence
Address = tuple[str, int, str, str | None]  # host, port, Unix socket, another path there


class _Memory(msgspec.Struct):
    """What a restart must know beside the observers' own snapshots."""

    generation: int
    baseline_digest: str | None
    seen: dict[str, dict[str, ShadowCounts]]
    unread_requests: dict[str, int]
    unread_answers: dict[str, int]
    answers_before: int
    silences: list[MirrorSilence]
    addresses: dict[str, Address] | None = None


class DeploymentWatch:
    """All observers of one deployment under its present generation and baseline."""

    def __init__(self, deployment: Deployment, state: DeploymentState, baseline: Baseline | None, now: float) -> None:
        self.deployment, self.state, self.baseline = deployment, state, baseline
        self.comparisons: dict[str, ComparisonObserver] = {}
        self._reader = ExchangeReader(deployment, baseline)
        self.quality, self.paired = QualityObserver(), QualityObserver()
        self.void = False
        self._counts = CopyCounts()
        self._health: dict[str, ChallengerHealth] = {}
        self._silences: dict[str, MirrorSilence] = {}
        self._watch_inputs(now)
        self.begin(deployment, state, baseline, now)

    def begin(self, deployment: Deployment, state: DeploymentState, baseline: Baseline | None, now: float) -> None:
        """Takes up another state, baseline or settings. Evidence that these change begins anew, the rest goes on.

        Each version's own quality always goes on.
        """
        before, was = self.deployment, self.state
        same_reading = (deployment.protocol, deployment.payload) == (before.protocol, before.payload)
        same_inputs = same_reading and _digest(baseline) == _digest(self.baseline)
        same_evidence = same_inputs and state.generation == was.generation
        former = _addresses(before, was)
        addresses = _addresses(deployment, state)
        self.deployment, self.state, self.baseline = deployment, state, baseline
        if not same_evidence:
            self.paired = QualityObserver()
        comparisons = {}
        same_tolerance = deployment.score_tolerance == before.score_tolerance
        for version, address in addresses.items():
            observer = self.comparisons.get(version)
            if observer is None or not same_evidence or not same_tolerance or former.get(version) != address:
                self.paired.forget_pair(state.champion, version)
                observer = ComparisonObserver(
                    state.champion, version, score_tolerance=deployment.score_tolerance, now=now
                )
            comparisons[version] = observer
            if version not in self._health or former.get(version) != address:
                self._health[version] = ChallengerHealth()
        self.comparisons = comparisons
        if state.generation != was.generation:
            self._counts = CopyCounts()
        self._silences = {version: self._silences.get(version, MirrorSilence(version)) for version in comparisons}
        if not same_inputs:
            self._reader.follow(deployment, baseline)
        if not same_inputs or state.champion != was.champion or not _alike(deployment.drift, before.drift):
            self._watch_inputs(now)
        self.inputs.resample(deployment)

    def _watch_inputs(self, now: float) -> None:
        """A new watch on inputs and predictions."""
        self.truths = Truths(self.state.champion, self.baseline, now)
        self.inputs = InputWatch(self.deployment, self.baseline, now, stakes=self.truths.stakes)
        self._answers_before = self._reader.unread_answers.total()

    # --- facts come in ---------------------------------------------------------------------------------------

    def fold(self, exchange: Exchange) -> list[DecisionRow]:
        """One exchange; the rows to keep until their outcomes come."""
        read = self._reader.prediction
        champion = read(exchange.champion, exchange.path)
        predictions = {} if champion is None else {exchange.champion.version: champion}
        for leg in exchange.shadows:
            said = read(leg, exchange.path)
            if said is not None:
                predictions[leg.version] = said
        for version, said in predictions.items():
            self.quality.fold_predicted(version, said.rows)
        current = exchange.generation == self.state.generation
        if (
            current
            and self.inputs.observer is not None
            and self.inputs.fold(exchange, self._reader.features(exchange), champion)
        ):
            self.truths.fold(champion)
        if current and not self.void:
            for leg in exchange.shadows:
                comparison = self.comparisons.get(leg.version)
                if comparison is not None:
                    comparison.fold(exchange, leg, champion, predictions.get(leg.version))
            for version, said in predictions.items():
                self.paired.fold_predicted(version, said.rows)
        evidence = exchange if not self.void else msgspec.structs.replace(exchange, generation=VOID)
        return rows_of(evidence, predictions)

    def fold_counts(self, worker: str, counts: ShadowCounts, now: float) -> None:
        """A worker's cumulative counts of copies; the difference to the last ones is what is new."""
        if counts.generation != self.state.generation:
            return
        delta = self._counts.delta(worker, counts)
        comparison = self.comparisons.get(counts.version)
        if comparison is None:
            return
        self._silences[counts.version].fold(delta, now)
        if not self.void:
            comparison.fold_copies(delta)
        self._health[counts.version].fold(delta)
        self._health[counts.version].breaker(worker, counts.breaker)

    def left(self, worker: str) -> None:
        """A worker is gone."""
        for health in self._health.values():
            health.left(worker)

    def fold_joined(self, joined: Joined) -> None:
        """A row's outcome: for every version's quality, and as evidence if the row belongs to this generation."""
        self.quality.fold_row(joined.champion, joined.predictions, joined.outcome, joined.replaces)
        if joined.generation == self.state.generation:
            # A challenger's evidence may have begun later than the generation: at another address, or added again.
            said = {
                version: prediction
                for version, prediction in joined.predictions.items()
                if version not in self.comparisons or self.comparisons[version].since <= joined.at
            }
            self.paired.fold_row(joined.champion, said, joined.outcome, joined.replaces)

    def tick(self, now: float) -> None:
        """Once a second: judges the drift buckets that are due, and looks at what that says."""
        self.truths.look(self.quality, now)
        self.inputs.tick(now, self.state.watch_until)

    def freeze_reference(self, now: float) -> None:
        """Makes the newest live rows what drift is measured against. Raises Refused where they are no measure."""
        self.inputs.freeze_reference(now)

    # --- what is known ---------------------------------------------------------------------------------------

    def health(self, version: str) -> Health:
        """How a challenger is, by its last copies."""
        known = self._health.get(version)
        return known.health if known is not None else "unknown"

    def alarms(self, now: float) -> tuple[AlarmChange, ...]:
        """Every alarm that is known to hold now."""
        silent = (silence.alarm(now) for silence in self._silences.values())
        known = (*(self.inputs.standing or ()), *self.truths.alarms())
        return (*as_one_story(known), *(alarm for alarm in silent if alarm is not None))

    @property
    def inputs_known(self) -> bool:
        """False while a new watch on the inputs has not looked yet: none of their alarms can be called over."""
        return self.inputs.standing is not None

    @property
    def undecodable(self) -> dict[str, int]:
        """Bodies that could not be read, by reason; those of answers are told apart."""
        reader = self._reader
        return dict(reader.unread_requests) | {f"answer_{why}": n for why, n in reader.unread_answers.items()}

    @property
    def watched_rows(self) -> int:
        """Live rows that were read and counted against the present baseline."""
        return self.drift_observer.rows_sampled if self.drift_observer is not None else 0

    @property
    def drift_observer(self) -> DriftObserver | None:
        """The watch on inputs and predictions; None without a baseline."""
        return self.inputs.observer

    @property
    def kept_rows(self) -> KeptRows:
        """The newest sampled rows with their values, where the settings keep any."""
        return self.inputs.kept_rows

    def drift(self, against: Literal["training", "recent"] = "training") -> DriftReport:
        """Live against training, or against healthy live traffic. Without a baseline nothing is judged."""
        answers = self._reader.unread_answers.total() - self._answers_before
        report = self.inputs.report(against)
        if report is not None:
            beside_version = self.deployment.baseline in (None, "registry")
            return msgspec.structs.replace(
                report,
                weighted=self.truths.weighted(report),
                severity=self.inputs.severity if against == "training" else report.severity,
                undecodable=report.undecodable + answers,
                # One from the registry need not name the version that it lies beside.
                baseline_model=report.baseline_model or (self.deployment.name if beside_version else None),
                baseline_version=report.baseline_version or (self.state.champion if beside_version else None),
            )
        return DriftReport(
            against=against,
            baseline_model=None,
            baseline_version=None,
            baseline_digest=None,
            rows_seen=0,
            rows_sampled=0,
            undecodable=answers,
            severity="none",
            features=(),
            prediction=None,
        )

    # --- over restarts ---------------------------------------------------------------------------------------

    def snapshots(self, now: float) -> list[Snapshot]:
        """Everything that a restart carries on from. Quality is not among it: it is counted anew from disk."""
        name = self.deployment.name
        memory = _Memory(
            generation=self.state.generation,
            baseline_digest=_digest(self.baseline),
            seen=self._counts.seen,
            unread_requests=dict(self._reader.unread_requests),
            unread_answers=dict(self._reader.unread_answers),
            answers_before=self._answers_before,
            silences=list(self._silences.values()),
            addresses=_addresses(self.deployment, self.state),
        )
        saved = [Snapshot(name, "memory", msgspec.msgpack.encode(memory), now)]
        if self.drift_observer is not None:
            saved.append(Snapshot(name, "drift", self.drift_observer.snapshot(), now))
        saved.append(Snapshot(name, "truths", self.truths.snapshot(), now))
        saved += [Snapshot(name, f"comparison/{v}", o.snapshot(), now) for v, o in self.comparisons.items()]
        return saved

    def restore(self, saved: dict[str, Snapshot]) -> tuple[str, ...]:
        """Carries on where the snapshots left off, if they are of this generation and baseline.

        What cannot be read begins anew; the sentences that come back say why.
        """
        faults: list[str] = []
        if "memory" not in saved:
            return ()
        try:
            memory = msgspec.msgpack.decode(saved["memory"].blob, type=_Memory)
        except ValueError as error:
            return (f"memory: {error}",)
        reader = self._reader
        reader.unread_requests, reader.unread_answers = Counter(memory.unread_requests), Counter(memory.unread_answers)
        self._answers_before = reader.unread_answers.total()
        if memory.generation != self.state.generation:
            return ()
        self._counts = CopyCounts(memory.seen)
        self._silences |= {s.version: s for s in memory.silences if s.version in self.comparisons}
        # At another address, or at none in between, what was seen then is no evidence on what answers now.
        addresses = _addresses(self.deployment, self.state).items()
        then = memory.addresses
        same = {version for version, address in addresses if then is None or then.get(version) == address}
        kept = {f"comparison/{v}": observer.restore for v, observer in self.comparisons.items() if v in same}
        if self.drift_observer is not None and memory.baseline_digest == _digest(self.baseline):
            kept["drift"] = self.inputs.restore
        kept["truths"] = self.truths.restore
        for name in kept.keys() & saved.keys():
            try:
                kept[name](saved[name].blob)
            except ValueError as error:
                faults.append(f"{name}: {error}")
            else:
                if name == "drift":
                    self._answers_before = memory.answers_before
        return tuple(faults)


def _alike(one: Drift, other: Drift) -> bool:
    """Whether two settings make the same watch; which features have metrics is no part of it."""
    return one.model_copy(update={"exported_features": other.exported_features}) == other


def _addresses(deployment: Deployment, state: DeploymentState) -> dict[str, Address]:
    """Where each challenger answers. How its certificate is verified is no part of it."""
    every = (shadow.to for shadow in shadows(deployment, state))
    return {to.version: (to.host, to.port, to.unix, to.path) for to in every}


def _digest(baseline: Baseline | None) -> str | None:
    return baseline.digest if baseline is not None else None
