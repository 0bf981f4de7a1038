"""The inputs and predictions of one deployment under watch: sampled, counted, judged, and what stands told.

Keeps: alarms of the watch before hold until this one has looked; a reference for drift is frozen by itself once, after
a promotion's watch window, while no feed is known to be broken. Sampling depends on the request's id alone.
Does not: read bodies, compare versions, keep alarms, write to disk. Called by: the deployment's watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from registry_client.baseline import Baseline
from sidecar.config import Deployment, Drift
from sidecar.errors import Refused
from sidecar.observe.alarms import alarms_in
from sidecar.observe.drift import DriftObserver
from sidecar.observe.joint_watch import JointWatch
from sidecar.observe.kept_rows import KeptRows
from sidecar.observe.row_budget import RowBudget
from sidecar.observe.severity import Stakes
from sidecar.payload.columns import Columns
from sidecar.payload.request_form import form_of
from sidecar.records import Exchange, Prediction, Sample
from sidecar.reports import AlarmChange, DriftReport, Severity, SharedShift

LOOK_S = 10.0  # the longest between two looks at the drift report: an alarm's sentence is never older
FEWEST_REFERENCE_ROWS = 1_000


class InputWatch:
    """Begins at `now` with nothing known. `stakes`: what is known of harm beside a report."""

    def __init__(
        self,
        deployment: Deployment,
        baseline: Baseline | None,
        now: float,
        stakes: Callable[[DriftReport], Stakes] = lambda _: Stakes(),
    ) -> None:
        drift = deployment.drift
        self._stakes = stakes
        self._bucket_s = drift.bucket_s
        self._began, self._look_at = now, now + drift.bucket_s
        # What the old watch knew of the inputs holds until the new one has looked, or until nobody asks for one.
        self.standing: tuple[AlarmChange, ...] | None = () if deployment.baseline is None and baseline is None else None
        self.observer: DriftObserver | None = None
        if baseline is not None:
            self.observer = DriftObserver(
                baseline,
                bucket_s=drift.bucket_s,
                false_alarm_days=drift.false_alarm_days,
                tolerance=drift.tolerance,
                now=now,
                name_values=drift.name_values,
            )
        # Which features the shift of the predictions goes with, once the champion was asked (`shift_shares`).
        self.shift: SharedShift | None = None
        self._sampling = deployment.sampling
        self._baseline = baseline
        self._take_rows()

    def _take_rows(self) -> None:
        """No row yet, under the settings of sampling."""
        keep_s = self._sampling.keep_s
        self._budget = RowBudget(self._sampling.rows_per_s)
        self.kept_rows = KeptRows(self._sampling.keep_rows, keep_s)
        self._joint: JointWatch | None = None
        if self.kept_rows.enabled and self._baseline is not None:
            self._joint = JointWatch(self._baseline, keep_s)

    def resample(self, deployment: Deployment) -> None:
        """Takes up other settings of sampling."""
        if deployment.sampling != self._sampling:
            self._sampling = deployment.sampling
            self._take_rows()

    def fold(self, exchange: Exchange, read: tuple[int, Columns] | None, said: Prediction | None) -> bool:
        """One exchange, its rows as far as they could be read, and the champion's answer; whether it is sampled."""
        if self.observer is None:
            return False
        if read is None:
            self.observer.count_undecodable(at=exchange.at)
            return False
        rows, features = read
        if not self._budget.admits(exchange.request_id, rows, exchange.at):
            self.observer.pass_over(rows)
            return False
        sample = Sample(exchange.request_id, exchange.at, rows, features, said)
        self.observer.fold(sample)
        if self.kept_rows.enabled:
            self.kept_rows.keep(sample)
            last = self.kept_rows.find(exchange.request_id, rows - 1, exchange.at)
            if self._joint is not None and last is not None:
                self._joint.fold(last)
            if self.kept_rows.form is None:
                self.kept_rows.form = form_of(
                    exchange.path, exchange.content_type, exchange.content_encoding, exchange.body, features.order
                )
        return True

    def tick(self, now: float, watch_until: float | None) -> None:
        """Judges the buckets that are due, and looks at what that says. `watch_until`: a promotion's watch window."""
        self.kept_rows.expire(now)
        if self._joint is not None:
            self._joint.expire(now)
        if self.observer is None:
            return
        changed = self.observer.tick(now)
        if abs(now - self._look_at) > 2 * (self._bucket_s + LOOK_S):
            self._look_at = now  # the clock was set
        if not changed and now < self._look_at:
            return
        self._look_at = now + min(self._bucket_s, LOOK_S)
        report = self.observer.report("training")
        # Traffic of which nothing can be read is something to look at, too.
        unreadable = report.schema is not None and report.schema.alarm
        looked = now >= self._began + self._bucket_s and (report.rows_sampled > 0 or unreadable)
        if looked or self.standing is not None:
            self.standing = alarms_in(report, self._known(report, now))
        window_over = watch_until is not None and now >= watch_until
        if window_over and self.standing is not None and self.observer.reference_at is None and not self._broken():
            self.observer.freeze_reference(now, FEWEST_REFERENCE_ROWS)

    def freeze_reference(self, now: float) -> None:
        """Makes the newest rows what drift is measured against. Raises Refused where they are no measure."""
        if self.observer is None:
            raise Refused("Nothing is watched: the deployment has no baseline yet.")
        if self._broken():
            raise Refused("A feed is broken: end its alarm first, or what it sends would be the measure from now on.")
        if not self.observer.freeze_reference(now):
            raise Refused("No row was judged yet: freeze the reference when a bucket with traffic has closed.")

    @property
    def severity(self) -> Severity:
        """Of the gravest alarm that stands."""
        return next((alarm.severity for alarm in self.standing or ()), "none")

    def report(self, against: Literal["training", "recent"]) -> DriftReport | None:
        """All columns now; None where nothing is watched."""
        if self.observer is None:
            return None
        report = self.observer.report(against)
        shift = self._shift_of(report) if against == "training" else None
        return msgspec.structs.replace(report, sampling_rate=self._budget.rate, shift=shift)

    def restore(self, snapshot: bytes) -> None:
        """Carries on where a snapshot left off; ValueError, and nothing changed, where it is damaged."""
        if self.observer is not None:
            self.observer.restore(snapshot)
            report = self.observer.report("training")
            self.standing = alarms_in(report, self._stakes(report))

    def _known(self, report: DriftReport, now: float) -> Stakes:
        """What is known beside the report, with what whole rows say where predictions moved and no feature did."""
        stakes = msgspec.structs.replace(self._stakes(report), shift=self._shift_of(report))
        if self._joint is None:
            return stakes
        self._joint.look(report, now)
        return msgspec.structs.replace(stakes, whole_rows=self._joint.says)

    def _shift_of(self, report: DriftReport) -> SharedShift | None:
        """What was said of the alarm on predictions that stands; of one that is over it says nothing."""
        alarm = report.prediction
        since = alarm.since if alarm is not None and alarm.alarm else None
        return self.shift if self.shift is not None and self.shift.since == since else None

    def _broken(self) -> bool:
        return any(alarm.kind == "data.broken" for alarm in self.standing or ())


def alike(one: Drift, other: Drift) -> bool:
    """Whether two settings make the same watch; which features have metrics is no part of it."""
    return one.model_copy(update={"exported_features": other.exported_features}) == other
