"""What others say was true, beside what one deployment saw: the offline pipeline's values, and outcomes as they come.

Keeps: it belongs to one champion under one baseline; counts only. From it comes what is known of harm (`stakes`), and
the alarms that need another's word. Does not: keep rows or values, match outcomes, decide what is grave (`observe`).
Called by the deployment's watch, and by the desk for posted rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from registry_client.baseline import Baseline
from sidecar.observe.alarms import moment
from sidecar.observe.amount_risk import AmountRisk
from sidecar.observe.estimated_quality import QualityEstimate
from sidecar.observe.kept_rows import KeptRow
from sidecar.observe.outcome_risk import OutcomeRisk
from sidecar.observe.quality import QualityObserver
from sidecar.observe.row_skew import RowSkew
from sidecar.observe.severity import Stakes, importance_shares
from sidecar.observe.skew_alarms import skew_alarms
from sidecar.records import OfflineRow, Prediction
from sidecar.reports import AlarmChange, DriftReport, EstimatedQuality, RowsCompared, RowSkewReport
from sidecar.stats.weighted_drift import weighted_drift

OUTCOME_KEY = "outcome"
_REMEMBERED_ROWS = 200_000
_LOOK = "Find out what changed with the world or the labels; a challenger trained on newer outcomes may be due."


class _Memory(msgspec.Struct, frozen=True):
    """What a restart must know, in each part's own encoding."""

    champion: str
    baseline_digest: str
    rows: bytes
    estimate: bytes
    risk: bytes
    amounts: bytes = b""


class Truths:
    """Of one deployment. `champion` is the version whose outcomes and predictions count."""

    def __init__(self, champion: str, baseline: Baseline | None, now: float) -> None:
        self._champion = champion
        self._digest = baseline.digest if baseline is not None else ""
        self._rows = RowSkew(baseline, now=now)
        self._estimate = QualityEstimate(baseline.calibration if baseline is not None else None)
        self._risk, self._amounts = OutcomeRisk(), AmountRisk()
        features = baseline.features if baseline is not None else ()
        self._told_importance = {feature.name: feature.importance for feature in features}
        self.importance = importance_shares(self._told_importance)
        # Rows that were compared: posted twice they would count twice.
        self._compared: OrderedDict[tuple[str, int], None] = OrderedDict()

    # --- facts come in ---------------------------------------------------------------------------------------

    def fold(self, prediction: Prediction | None) -> None:
        """The champion's answer to one sampled request."""
        if prediction is not None:
            self._estimate.fold(prediction)

    def look(self, quality: QualityObserver, now: float) -> None:
        """Takes up what became of the champion's outcomes."""
        errors, judged = quality.errors(self._champion)
        self._risk.look(errors, judged, now)
        self._amounts.look(*quality.amounts(self._champion), now)

    def compare(self, rows: Sequence[OfflineRow], find: Callable[[str, int], KeptRow | None]) -> RowsCompared:
        """Compares posted rows with those that are kept; each row counts once."""
        pairs: list[tuple[KeptRow, Mapping[str, object]]] = []
        duplicate = unknown = 0
        ignored = self._rows.unnamed
        for row in rows:
            key = row.request_id, row.row
            kept = find(*key)
            if kept is None:
                unknown += 1
            elif key in self._compared:
                duplicate += 1
            else:
                self._compared[key] = None
                pairs.append((kept, row.features))
        while len(self._compared) > _REMEMBERED_ROWS:
            self._compared.popitem(last=False)
        self._rows.compare(pairs)
        return RowsCompared(
            compared=len(pairs), duplicate=duplicate, unknown=unknown, ignored_values=self._rows.unnamed - ignored
        )

    # --- what is known ---------------------------------------------------------------------------------------

    def skew(self) -> RowSkewReport:
        """Live rows beside the offline pipeline's."""
        return self._rows.report()

    def estimated(self, drift: DriftReport | None) -> EstimatedQuality | None:
        """The champion's quality without outcomes; `drift` says whether inputs are where training was."""
        return self._estimate.report(drift, self.importance)

    def weighted(self, drift: DriftReport) -> float | None:
        """How far all inputs moved for certain, in nats, each by what it weighs with the model."""
        bounds = [feature.kl_lower for feature in drift.features]
        if not bounds:
            return None
        return weighted_drift(bounds, [self._told_importance.get(feature.name) for feature in drift.features]).total

    def stakes(self, drift: DriftReport | None) -> Stakes:
        """What is known of harm now."""
        estimated, risk = self.estimated(drift), self._risk.finding or self._amounts.finding
        return Stakes(
            importance=self.importance,
            estimated_loss=estimated.loss if estimated is not None else None,
            refused=estimated.refused if estimated is not None else None,
            realised_loss=risk.loss if risk is not None else None,
        )

    def alarms(self) -> tuple[AlarmChange, ...]:
        """What holds by another's word."""
        return (*skew_alarms(self._rows.report()), *self._outcome_alarm())

    def _outcome_alarm(self) -> tuple[AlarmChange, ...]:
        risk, amounts = self._risk.finding, self._amounts.finding
        if risk is not None:
            since = risk.since
            says = (
                f"version {self._champion} is wrong more often than it was: {risk.errors / risk.n:.1%} of {risk.n:,} "
                f"outcomes since {moment(since)}, {risk.reference_errors / risk.reference_n:.1%} of its first "
                f"{risk.reference_n:,}; at least {risk.loss:.1%} is lost for certain"
            )
        elif amounts is not None:
            since = amounts.since
            says = (
                f"version {self._champion} is further off than it was: a mean absolute error of {amounts.error:.4g} "
                f"over {amounts.n:,} outcomes since {moment(since)}, {amounts.reference_error:.4g} over its first "
                f"{amounts.reference_n:,}; at least {amounts.loss:.0%} more for certain"
            )
        else:
            return ()
        return (
            AlarmChange(
                key=f"{OUTCOME_KEY}/{self._champion}",
                kind="outcome.degraded",
                severity="critical",
                says=says,
                action=_LOOK,
                since=since,
            ),
        )

    # --- over restarts ---------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All counts; which rows were compared is not among them, since no row is kept over a restart."""
        return msgspec.msgpack.encode(
            _Memory(
                champion=self._champion,
                baseline_digest=self._digest,
                rows=self._rows.snapshot(),
                estimate=self._estimate.snapshot(),
                risk=self._risk.snapshot(),
                amounts=self._amounts.snapshot(),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Goes on where the last run left off; what was about another champion or baseline is left out.

        ValueError where it is damaged; what could be read before the damage counts.
        """
        memory = msgspec.msgpack.decode(snapshot, type=_Memory)  # msgspec's errors are ValueErrors as well
        if (memory.champion, memory.baseline_digest) == (self._champion, self._digest):
            self._rows.restore(memory.rows)
            self._estimate.restore(memory.estimate)
            self._risk.restore(memory.risk)
            if memory.amounts:  # those before knew no amounts
                self._amounts.restore(memory.amounts)
