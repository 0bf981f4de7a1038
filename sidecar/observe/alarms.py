"""What a person should be told about a drift report: which alarm, how grave, and what to do.

Pure and level-triggered: from a report as it stands comes the full list of alarms that hold now. Opening, keeping
and closing them, with ids and owners, is control's.
"""

from __future__ import annotations

from sidecar.reports import AlarmChange, AlarmKind, DriftReport, FeatureDrift, Severity

PREDICTION_KEY = "prediction"
# Above this lower bound on KL (nats) a drift whose cause nobody knows is more than a note: PSI would be above 0.1.
_GRAVE_KL = 0.05

_FIX = "Fix the feed, do not retrain; roll back if the answers hurt meanwhile."
_LOOK = "Look at what changed upstream at that time; retrain only if the change is real and lasts."


def alarms_in(report: DriftReport) -> tuple[AlarmChange, ...]:
    """Every alarm that the report gives reason for, the gravest first."""
    moved = report.prediction is not None and report.prediction.alarm
    found = [_feature_alarm(feature, predictions_moved=moved) for feature in report.features if feature.alarm]
    if report.prediction is not None and report.prediction.alarm:
        found.append(_prediction_alarm(report.prediction, explained=any(a.kind == "data.broken" for a in found)))
    order: tuple[Severity, ...] = ("critical", "warning", "info", "none")
    return tuple(sorted(found, key=lambda alarm: order.index(alarm.severity)))


def kind_of(feature: FeatureDrift) -> AlarmKind:
    """A named fault of the feed is `data.broken`; a moved world, or what nobody can name yet, `drift.detected`."""
    if feature.cause is None or feature.cause.kind in ("unexplained", "new_category"):
        return "drift.detected"
    return "data.broken"


def _feature_alarm(feature: FeatureDrift, *, predictions_moved: bool) -> AlarmChange:
    kind = kind_of(feature)
    severity: Severity
    if kind == "data.broken":
        severity = "critical" if predictions_moved else "warning"
        action = _FIX
    else:
        severity = "warning" if predictions_moved or feature.kl_lower > _GRAVE_KL else "info"
        action = _LOOK
    cause = feature.cause.says if feature.cause is not None else "cause not known yet"
    says = f"{feature.name}: {cause}; at least {feature.kl_lower:.3f} nats from training (PSI {feature.psi or 0.0:.2f})"
    return AlarmChange(
        key=f"feature/{feature.name}",
        kind=kind,
        severity=severity,
        says=says,
        action=action,
        since=feature.since or 0.0,
    )


def _prediction_alarm(prediction: FeatureDrift, *, explained: bool) -> AlarmChange:
    because = "a broken feature explains it" if explained else "no feature explains it by itself"
    return AlarmChange(
        key=PREDICTION_KEY,
        kind="prediction.shifted",
        severity="warning",
        says=f"the champion's predictions moved: at least {prediction.kl_lower:.3f} nats from training; {because}",
        action=_FIX if explained else _LOOK,
        since=prediction.since or 0.0,
    )
