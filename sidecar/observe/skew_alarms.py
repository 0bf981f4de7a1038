"""What a person should be told when two pipelines write the same row differently.

Keeps: level-triggered, as `alarms`; no value is in any sentence. Does not: count or judge (`row_skew` does). Pure.
"""

from __future__ import annotations

from sidecar.observe.alarms import moment
from sidecar.reports import AlarmChange, FeatureSkew, RowSkewReport

_ALIGN = "Make both pipelines compute the feature alike, from one definition; do not retrain on either until they do."


def skew_alarms(report: RowSkewReport) -> tuple[AlarmChange, ...]:
    """One alarm for each feature whose rows differ for certain."""
    return tuple(_alarm(feature) for feature in report.features if feature.alarm)


def skew_says(feature: FeatureSkew) -> str:
    """The finding in a sentence."""
    cause = feature.cause
    because = "the reason is not known yet"
    if cause is not None:
        because = cause.says if cause.kind == "unexplained" else f"live is {cause.says}"
    return f"{feature.share:.1%} of {feature.compared:,} compared rows differ from the offline pipeline's; {because}"


def _alarm(feature: FeatureSkew) -> AlarmChange:
    since = feature.since or 0.0
    known = feature.cause is not None and feature.cause.kind != "unexplained"
    return AlarmChange(
        key=f"rows/{feature.name}",
        kind="data.broken" if known else "drift.detected",
        severity="warning",
        says=f"{feature.name}: {skew_says(feature)}; first seen {moment(since)}",
        action=_ALIGN,
        since=since,
        cause=feature.cause.kind if feature.cause is not None else None,
    )
