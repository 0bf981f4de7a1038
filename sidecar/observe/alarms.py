"""What a person should be told about a drift report: which alarm, how grave, and what to do.

Pure and level-triggered: from a report as it stands comes the full list of alarms that hold now. Opening, keeping
and closing them, with ids and owners, is control's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from sidecar.reports import AlarmChange, AlarmKind, DriftReport, FeatureDrift, Severity

PREDICTION_KEY = "prediction"
# Above this lower bound on KL (nats) a drift whose cause nobody knows is more than a note: PSI would be above 0.1.
_GRAVE_KL = 0.05
_LATEST_S = 253_402_300_799.0  # the end of the year 9999

_FIX = "Fix the feed, do not retrain; roll back if the answers hurt meanwhile."
_LOOK = "Look at what changed upstream at that time; retrain only if the change is real and lasts."


def alarms_in(report: DriftReport) -> tuple[AlarmChange, ...]:
    """Every alarm that the report gives reason for, the gravest first."""
    moved = [feature for feature in report.features if feature.alarm]
    prediction = report.prediction if report.prediction is not None and report.prediction.alarm else None
    found = [_feature_alarm(feature, predictions_moved=prediction is not None) for feature in moved]
    if prediction is not None:
        found.append(_prediction_alarm(prediction, moved))
    order: tuple[Severity, ...] = ("critical", "warning", "info", "none")
    return tuple(sorted(found, key=lambda alarm: order.index(alarm.severity)))


def kind_of(feature: FeatureDrift) -> AlarmKind:
    """A named fault of the feed is `data.broken`; a moved world, or what nobody can name yet, `drift.detected`."""
    if feature.cause is None or feature.cause.kind in ("unexplained", "new_category"):
        return "drift.detected"
    return "data.broken"


def moment(at_s: float) -> str:
    """A time as it stands in a sentence, in UTC and to the second.

    >>> moment(1_700_000_000.9)
    '2023-11-14 22:13:20 UTC'
    """
    known = min(max(at_s, 0.0), _LATEST_S) if math.isfinite(at_s) else 0.0
    return f"{datetime.fromtimestamp(math.floor(known), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _feature_alarm(feature: FeatureDrift, *, predictions_moved: bool) -> AlarmChange:
    kind, since = kind_of(feature), feature.since or 0.0
    severity: Severity
    if kind == "data.broken":
        severity = "critical" if predictions_moved else "warning"
        action = _FIX
    else:
        severity = "warning" if predictions_moved or feature.kl_lower > _GRAVE_KL else "info"
        action = _LOOK
    cause = feature.cause.says if feature.cause is not None else "cause not known yet"
    size = f"at least {feature.kl_lower:.3f} nats from training (PSI {feature.psi or 0.0:.2f})"
    return AlarmChange(
        key=f"feature/{feature.name}",
        kind=kind,
        severity=severity,
        says=f"{feature.name}: {cause}; {size} since {moment(since)}",
        action=action,
        since=since,
    )


def _prediction_alarm(prediction: FeatureDrift, moved: Sequence[FeatureDrift]) -> AlarmChange:
    broken = [feature for feature in moved if kind_of(feature) == "data.broken"]
    if broken:
        because = f"{_names(broken)}, whose feed is broken, explains it"
    elif moved:
        because = f"{_names(moved)} moved too and may explain it"
    else:
        because = "no feature moved by itself"
    since = prediction.since or 0.0
    size = f"at least {prediction.kl_lower:.3f} nats from training since {moment(since)}"
    return AlarmChange(
        key=PREDICTION_KEY,
        kind="prediction.shifted",
        severity="warning",
        says=f"the champion's predictions moved: {size}; {because}",
        action=_FIX if broken else _LOOK,
        since=since,
    )


def _names(features: Sequence[FeatureDrift]) -> str:
    """The feature that moved farthest, and how many others did."""
    farthest = max(features, key=lambda feature: feature.kl_lower)
    return farthest.name if len(features) == 1 else f"{farthest.name} (and {len(features) - 1} more)"
