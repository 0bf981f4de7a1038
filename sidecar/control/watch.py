"""One deployment under watch: exchanges and outcomes in, reports out.

Keeps: evidence belongs to one generation, one pair and one baseline, and begins anew when any changes; what happens
while an input is broken is recorded and answered for, but is no evidence (its rows carry generation 0), and what was
counted between the fault's beginning and its alarm is taken out again; an alarm lasts over a transition until the new
watch on the inputs has looked.
Does not: write to disk, keep alarms, or judge. Called by the intake and the rounds, and by whoever reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from registry_client.baseline import Baseline
from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.copy_counts import CopyCounts
from sidecar.control.decision_row import DecisionRow, Joined, rows_of
from sidecar.control.due_copies import Address
from sidecar.control.exchange_reader import ExchangeReader
from sidecar.control.input_watch import InputWatch, alike
from sidecar.control.kept_quality import NAME as QUALITY
from sidecar.control.kept_quality import KeptQuality
from sidecar.control.pair_evidence import PairEvidence
from sidecar.control.truths import Truths
from sidecar.control.void_stretches import VoidStretches
from sidecar.control.working_watch import WorkingWatch
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
    void: list[tuple[float, float | None]] = []


class DeploymentWatch:
    """All observers of one deployment under its present generation and baseline."""

    def __init__(self, deployment: Deployment, state: DeploymentState, baseline: Baseline | None, now: float) -> None:
        self.deployment, self.state, self.baseline = deployment, state, baseline
        self._reader = ExchangeReader(deployment, baseline)
        self.evidence = PairEvidence(deployment, state)
        self.quality = QualityObserver(deployment.comparison.threshold, in_pairs=False)
        self.kept_quality = KeptQuality()
        self.void, self.stretches = False, VoidStretches()
        self._counts = CopyCounts()
        self._health: dict[str, ChallengerHealth] = {}
        self._silences: dict[str, MirrorSilence] = {}
        self.working = WorkingWatch(deployment, state.champion)
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
        self.deployment, self.state, self.baseline = deployment, state, baseline
        for version, same_address in self.evidence.begin(deployment, state, now, same=same_evidence).items():
            if version not in self._health or not same_address:
                self._health[version] = ChallengerHealth()
        if state.generation != was.generation:
            self._counts = CopyCounts()
        self._silences = {version: self._silences.get(version, MirrorSilence(version)) for version in self.comparisons}
        self.working.begin(deployment, state.champion)
        if not same_inputs:
            self._reader.follow(deployment, baseline)
        if not same_inputs or state.champion != was.champion or not alike(deployment.drift, before.drift):
            self._watch_inputs(now)
        self.inputs.resample(deployment)

    @property
    def comparisons(self) -> dict[str, ComparisonObserver]:
        """Each challenger beside the champion."""
        return self.evidence.comparisons

    @property
    def paired(self) -> QualityObserver:
        """The outcomes of this generation."""
        return self.evidence.paired

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
        watched = current and self.inputs.observer is not None
        features = self._reader.features(exchange) if watched or (current and self.evidence.by_segment) else None
        if watched and self.inputs.fold(exchange, features, champion):
            self.truths.fold(champion)
        segments = self.evidence.segments(champion, features) if current else []
        rows = rows_of(
            exchange if not self.void else msgspec.structs.replace(exchange, generation=VOID), predictions, segments
        )
        if current and not self.void:
            self.evidence.fold(exchange, predictions, rows, segments, counted=bool(self._counts.seen))
        elif current:
            self.evidence.pass_over(exchange)
        return rows

    def fold_counts(self, worker: str, counts: ShadowCounts, now: float) -> None:
        """A worker's cumulative counts of copies; the difference to the last ones is what is new."""
        if counts.generation != self.state.generation:
            return
        delta = self._counts.delta(worker, counts)
        comparison = self.comparisons.get(counts.version)
        if comparison is None:
            return
        self._silences[counts.version].fold(delta, now)
        comparison.fold_copies(delta, now, void=self.void)
        self._health[counts.version].fold(delta)
        self._health[counts.version].breaker(worker, counts.breaker)

    def left(self, worker: str) -> None:
        """A worker is gone."""
        for health in self._health.values():
            health.left(worker)

    def fold_joined(self, joined: Joined) -> None:
        """A row's outcome: for every version's quality, and as evidence if the row belongs to this generation."""
        self.quality.fold_row(joined.champion, joined.predictions, joined.outcome, joined.replaces)
        self.evidence.label_queues.labelled(joined.request_id, joined.row)
        if joined.generation == self.state.generation and not self.stretches.holds(joined.at):
            self.evidence.fold_joined(joined)
        self.kept_quality.counted(joined.seq)

    def looks(self, now: float) -> tuple[Callable[[], None], ...]:
        """Once a second, each by itself: where one watch cannot go on, the others must not fall silent with it."""
        return (
            lambda: self.truths.look(self.quality, now),
            lambda: self.working.look(self.quality, now),
            lambda: self.inputs.tick(now, self.state.watch_until),  # judges the drift buckets that are due
        )

    def tick(self, now: float) -> None:
        """All that comes once a second."""
        for look in self.looks(now):
            look()

    def leave_out(self, broken_since: float | None, now: float) -> None:
        """Nothing counts that came since the input has been broken, also what was folded before somebody noticed."""
        if broken_since is None:
            self.stretches.end(now)
        else:
            since = self.stretches.begin(broken_since)
            if since is not None:
                self.evidence.rewind(since, now)
        self.void = self.stretches.open
        if not self.void:
            self.evidence.checkpoint(now)

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
        known = (*(self.inputs.standing or ()), *self.truths.alarms(), *self.working.alarms())
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
        """Everything that a restart carries on from."""
        name = self.deployment.name
        memory = _Memory(
            generation=self.state.generation,
            baseline_digest=_digest(self.baseline),
            seen=self._counts.seen,
            unread_requests=dict(self._reader.unread_requests),
            unread_answers=dict(self._reader.unread_answers),
            answers_before=self._answers_before,
            silences=list(self._silences.values()),
            addresses=self.evidence.copies.addresses,
            void=self.stretches.spans,
        )
        saved = [Snapshot(name, "memory", msgspec.msgpack.encode(memory), now)]
        if self.drift_observer is not None:
            saved.append(Snapshot(name, "drift", self.drift_observer.snapshot(), now))
        saved.append(Snapshot(name, "truths", self.truths.snapshot(), now))
        saved.append(Snapshot(name, "working", self.working.snapshot(), now))
        saved += [Snapshot(name, observer, blob, now) for observer, blob in self.evidence.snapshots().items()]
        generation, champion = self.state.generation, self.state.champion
        observers, threshold = (self.quality, self.paired), self.evidence.threshold
        quality = self.kept_quality.snapshot(*observers, threshold, generation, champion, now)
        if quality is not None:
            saved.append(Snapshot(name, QUALITY, quality, now))
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
            return self._restore_quality(saved, ())
        self._counts = CopyCounts(memory.seen)
        self.stretches = VoidStretches(memory.void)
        self.void = self.stretches.open
        self._silences |= {s.version: s for s in memory.silences if s.version in self.comparisons}
        # At another address, or at none in between, what was seen then is no evidence on what answers now.
        then, addresses = memory.addresses, self.evidence.copies.addresses
        changed = {version for version in addresses if then is not None and then.get(version) != addresses[version]}
        kept = self.evidence.restores(lambda version: version not in changed)
        if self.drift_observer is not None and memory.baseline_digest == _digest(self.baseline):
            kept["drift"] = self.inputs.restore
        kept["truths"] = self.truths.restore
        kept["working"] = self.working.restore
        for name in kept.keys() & saved.keys():
            try:
                kept[name](saved[name].blob)
            except ValueError as error:
                faults.append(f"{name}: {error}")
            else:
                if name == "drift":
                    self._answers_before = memory.answers_before
        return (*faults, *self._restore_quality(saved, changed))

    def _restore_quality(self, saved: dict[str, Snapshot], changed: Iterable[str]) -> tuple[str, ...]:
        """What was counted of outcomes; without it, all of them are counted anew from disk."""
        if QUALITY not in saved:
            return ()
        snapshot, observers = saved[QUALITY], (self.quality, self.paired)
        # It may be older than the others: what began anew since then is not brought back.
        anew = {version for version, seen in self.comparisons.items() if seen.since > snapshot.at} | set(changed)
        generation = None if anew >= set(self.comparisons) else self.state.generation
        try:
            self.kept_quality.restore(snapshot.blob, *observers, self.evidence.threshold, generation, anew)
        except ValueError as error:
            return (f"{QUALITY}: {error}; every outcome on disk is counted again",)
        return ()


def _digest(baseline: Baseline | None) -> str | None:
    return baseline.digest if baseline is not None else None
