"""What a scrape of `/metrics` reads, gathered from control's parts at that moment.

Called by the admin API through control's composition root. Does not: know the metrics' names (`telemetry` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sidecar.control.alarm_book import AlarmBook
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.desk import Desk
from sidecar.control.intake import Intake
from sidecar.control.recording import Recording
from sidecar.control.watch import DeploymentWatch
from sidecar.reports import ComparisonReport, OutcomeCounts
from sidecar.telemetry.counts import WorkerTotals
from sidecar.telemetry.drift_metrics import DriftFacts
from sidecar.telemetry.metrics import DeploymentFacts, Facts
from sidecar.telemetry.quality_metrics import ChallengerFacts, QualityFacts


class Scrape:
    """The parts that are asked."""

    def __init__(
        self,
        watches: Mapping[str, DeploymentWatch],
        desk: Desk,
        alarms: AlarmBook,
        *,
        totals: WorkerTotals,
        intake: Intake,
        decisions: Decisions,
        recording: Recording,
        dead_letters: DeadLetterOffice,
        spans: Callable[[], Mapping[str, int]],
    ) -> None:
        self._watches = watches
        self._desk = desk
        self._alarms = alarms
        self._totals = totals
        self._intake = intake
        self._decisions = decisions
        self._recording = recording
        self._dead_letters = dead_letters
        self._spans = spans

    def facts(self, now: float) -> Facts:
        """All of them at `now`, seconds since the epoch."""
        return Facts(
            deployments=tuple(self._deployment(name, watch, now) for name, watch in self._watches.items()),
            totals=self._totals.totals(),
            observation_failures=self._intake.failures,
            decisions_dropped=self._decisions.dropped,
            decisions_expired=self._decisions.expired_beyond_bytes,
            unrecorded=len(self._recording.unrecorded),
            reserve_bytes=self._recording.reserve.held_bytes if self._recording.reserve is not None else 0,
            events_waiting=self._dead_letters.waiting,
            events_dead=self._dead_letters.dead,
            spans=self._spans(),
            ingested=self._desk.ingesting.counts(),
            outcomes_unknown=OutcomeCounts(**self._desk.outcome_counts[""]),
        )

    def _deployment(self, name: str, watch: DeploymentWatch, now: float) -> DeploymentFacts:
        compared = {version: seen.report(now) for version, seen in watch.comparisons.items()}
        agreements = {version: report.agreement for version, report in compared.items()}
        training, skew = watch.drift("training"), watch.truths.skew()
        return DeploymentFacts(
            deployment=name,
            champion=watch.state.champion,
            challengers=tuple(watch.comparisons),
            generation=watch.state.generation,
            rows_sampled=training.rows_sampled,
            drift=DriftFacts(
                deployment=name,
                reports=(training, watch.drift("recent")),
                exported=watch.deployment.drift.exported_features,
                estimated=watch.truths.estimated(training),
                rows_compared=skew.rows,
                differing_features=sum(feature.alarm for feature in skew.features),
            ),
            gates=tuple(self._desk.gates(name, challenger) for challenger in watch.comparisons),
            agreement={version: seen.value if seen is not None else None for version, seen in agreements.items()},
            transitions=dict(self._desk.transitions[name]),
            outcomes=OutcomeCounts(**self._desk.outcome_counts[name]),
            registry=self._desk.registry(name),
            undecodable=watch.undecodable,
            alarms=self._alarms.open(name),
            quality=_quality(name, watch, compared),
            canary=self._desk.canary_weight(name),
        )


def _quality(name: str, watch: DeploymentWatch, compared: Mapping[str, ComparisonReport]) -> QualityFacts:
    """The versions in play."""
    versions = (watch.state.champion, *compared)
    return QualityFacts(
        deployment=name,
        versions=tuple(watch.quality.report(version, intervals=False) for version in versions),
        challengers=tuple(
            ChallengerFacts(
                challenger=version,
                noise_floor=report.noise.self_disagreement if report.noise is not None else None,
                lost=report.copies.lost,
                labels_wanted=watch.evidence.label_queues.of(version).waiting,
            )
            for version, report in compared.items()
        ),
    )
