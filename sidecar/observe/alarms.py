"""What a person should be told about a drift report: which alarm, how grave, what to do, and which are one story.

Keeps: level-triggered: from a report as it stands comes the full list of alarms that hold now; what a broken feed
explains says so and is no page of its own. Severity comes from expected harm (`severity`), never from PSI.
Does not: open, keep or close alarms, know ids and owners: that is control's. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from sidecar.observe.cause_over_time import SO_FAR
from sidecar.observe.lost_together import lost_together
from sidecar.observe.severity import Harm, Stakes, expected_harm, prediction_severity, severity_of
from sidecar.reports import AlarmChange, AlarmKind, DriftReport, FeatureDrift, Severity, SharedShift

PREDICTION_KEY = "prediction"
SCHEMA_KEY = "schema"
_LATEST_S = 253_402_300_799.0  # the end of the year 9999
_GRAVEST_FIRST: tuple[Severity, ...] = ("critical", "warning", "info", "none")
# Kinds that a broken feed brings about.
_FOLLOWS = ("prediction.shifted", "outcome.degraded")
_WORTH_TELLING = 0.1  # of the predictions' shift
_MOST_SHARES = 3

FIX = "Fix the feed, do not retrain; roll back if the answers hurt meanwhile."
_FIX_QUIETLY = "Fix the feed, do not retrain; it can wait for working hours, since the predictions have not moved."
_LOOK = "Look at what changed upstream at that time; retrain only if the change is real and lasts."
_QUIET = "Nothing to do now: the predictions have not moved. Remember it when the model is trained next."


def alarms_in(report: DriftReport, stakes: Stakes | None = None) -> tuple[AlarmChange, ...]:
    """Every alarm that the report gives reason for, the gravest first. `stakes`: what is known of harm beside it."""
    known = stakes or Stakes()
    moved = [feature for feature in report.features if feature.alarm]
    prediction = report.prediction if report.prediction is not None and report.prediction.alarm else None
    harm = expected_harm(report.prediction, known)
    # The feature that matters most comes first among equally grave ones: it is the one that the others' stories name.
    moved.sort(key=lambda feature: known.importance.get(feature.name, 1.0) * feature.kl_lower, reverse=True)
    found = _grouped([_feature_alarm(feature, harm, known) for feature in moved], report)
    if report.schema is not None and report.schema.alarm:
        found.append(_schema_alarm(report.schema, harm))
    if prediction is not None:
        found.append(_prediction_alarm(prediction, moved, harm, known))
    return as_one_story(found)


def as_one_story(found: Sequence[AlarmChange]) -> tuple[AlarmChange, ...]:
    """The same alarms, the gravest first, where each that another one explains names it and is a note only.

    Moved predictions and worse outcomes are explained by the gravest broken feed; a feature's distribution by what its
    rows show; one half of a swap by the other; requests without a key by the feature that is missing, and features that
    went missing together by one of them.
    """
    ranked = sorted(found, key=_rank)
    broken = {alarm.key: alarm for alarm in ranked if alarm.kind == "data.broken"}
    root = next(iter(broken.values()), None)
    by = {alarm.key: root if alarm.kind in _FOLLOWS else _same_fault(alarm, broken) for alarm in ranked}
    told = []
    for alarm in ranked:
        tells = _origin(alarm, by)
        if tells is alarm:
            told.append(alarm)
        else:
            told.append(msgspec.structs.replace(alarm, severity="info", action=tells.action, explained_by=tells.key))
    return tuple(sorted(told, key=_rank))


def _origin(alarm: AlarmChange, by: Mapping[str, AlarmChange | None]) -> AlarmChange:
    """The alarm at the end of the chain of explanations; of a circle the gravest."""
    chain = [alarm]
    while (above := by[chain[-1].key]) is not None:
        if above in chain:
            return min(chain[chain.index(above) :], key=_rank)
        chain.append(above)
    return chain[-1]


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


def _rank(alarm: AlarmChange) -> tuple[int, bool]:
    return _GRAVEST_FIRST.index(alarm.severity), alarm.kind in _FOLLOWS


def _same_fault(alarm: AlarmChange, broken: dict[str, AlarmChange]) -> AlarmChange | None:
    """The broken alarm about the same thing that says more: its rows, the other half of a swap, what is missing."""
    area, _, name = alarm.key.partition("/")
    if alarm.key == SCHEMA_KEY and alarm.cause == "missing":
        return next((other for other in broken.values() if other.cause == "missing" and other is not alarm), None)
    if area == "feature" and f"rows/{name}" in broken:
        return broken[f"rows/{name}"]
    if area == "rows" and alarm.kind != "data.broken":
        return broken.get(f"feature/{name}")
    if alarm.lost_with is not None:
        return broken.get(f"feature/{alarm.lost_with}")
    partner = broken.get(f"feature/{alarm.swapped_with}") if alarm.swapped_with is not None else None
    return partner if partner is not None and partner.key < alarm.key else None


def _feature_alarm(feature: FeatureDrift, harm: Harm, stakes: Stakes) -> AlarmChange:
    kind, since = kind_of(feature), feature.since or 0.0
    broken = kind == "data.broken"
    cause = feature.cause.says if feature.cause is not None else "cause not known yet"
    size = f"at least {feature.kl_lower:.3f} nats from training (PSI {feature.psi or 0.0:.2f})"
    quiet = harm == "none"
    return AlarmChange(
        key=f"feature/{feature.name}",
        kind=kind,
        severity=severity_of(feature, harm, stakes, broken=broken),
        says=f"{feature.name}: {cause}; {size} since {moment(since)}" + ("; predictions have not moved" * quiet),
        action=(_FIX_QUIETLY if quiet else FIX) if broken else _QUIET if quiet else _LOOK,
        since=since,
        swapped_with=feature.cause.with_ if feature.cause is not None else None,
        cause=feature.cause.kind if feature.cause is not None else None,
    )


def _grouped(found: Sequence[AlarmChange], report: DriftReport) -> list[AlarmChange]:
    """The alarms of features, where the gravest of those that went missing together tells of all of them."""
    known = {alarm.key: alarm for alarm in found}
    for group in lost_together(report.features, report.schema):
        members = [known[key] for name in group.names if (key := f"feature/{name}") in known]
        # Who tells must not change with the figures of the day: that would be told as news.
        root = min(members, key=lambda alarm: (_rank(alarm), alarm.since, alarm.key))
        name = root.key.partition("/")[2]
        quiet = "; predictions have not moved" * (root.action == _FIX_QUIETLY)
        so_far = SO_FAR * (SO_FAR in root.says)
        says = f"{group.says}{so_far}; since {moment(group.since)}{quiet}"
        told = {alarm.key: msgspec.structs.replace(alarm, lost_with=name) for alarm in members}
        known |= told | {root.key: msgspec.structs.replace(root, says=says, since=group.since)}
    return list(known.values())


def _schema_alarm(schema: FeatureDrift, harm: Harm) -> AlarmChange:
    since = schema.since or 0.0
    says = schema.cause.says if schema.cause is not None else "requests are not built as in training"
    return AlarmChange(
        key=SCHEMA_KEY,
        kind="data.broken",
        severity="critical" if harm in ("some", "grave") else "warning",
        says=f"{says} since {moment(since)}",
        action=FIX,
        since=since,
        cause=schema.cause.kind if schema.cause is not None else None,
    )


def _prediction_alarm(
    prediction: FeatureDrift, moved: Sequence[FeatureDrift], harm: Harm, stakes: Stakes
) -> AlarmChange:
    broken = [feature for feature in moved if kind_of(feature) == "data.broken"]
    if broken:
        because = f"{_names(broken)}, whose feed is broken, explains it"
    elif moved and stakes.shift is not None:
        because = _shared(stakes.shift)
    elif moved:
        because = f"{_names(moved)} moved too and may explain it"
    else:
        because = stakes.whole_rows or "no feature moved by itself"
    since = prediction.since or 0.0
    size = f"at least {prediction.kl_lower:.3f} nats from training since {moment(since)}"
    loss = f"; estimated accuracy fell by at least {stakes.estimated_loss:.1%}" if stakes.estimated_loss else ""
    return AlarmChange(
        key=PREDICTION_KEY,
        kind="prediction.shifted",
        severity=prediction_severity(harm, stakes),
        says=f"the champion's predictions moved: {size}{loss}; {because}",
        action=FIX if broken else _LOOK,
        since=since,
    )


def _shared(shift: SharedShift) -> str:
    """Which features the shift goes with. Features act together, so the shares are no parts of a whole."""
    large = [name for name, share in shift.shares.items() if share >= _WORTH_TELLING][:_MOST_SHARES]
    how = f"put back by rank on {shift.rows} kept rows"
    if not large:
        moved = " and ".join([*shift.shares][:_MOST_SHARES])
        return f"{moved} moved too, which hardly explains it ({how}): the model or its labels may have changed"
    told = ", ".join(f"{name} explains {min(shift.shares[name], 1.0):.0%} of it" for name in large)
    if shift.together is None:
        return f"{told} ({how})"
    return f"{told}, the largest together {min(max(shift.together, 0.0), 1.0):.0%} ({how}; shares need not add up)"


def _names(features: Sequence[FeatureDrift]) -> str:
    """The feature that matters most, and how many others there are."""
    return features[0].name if len(features) == 1 else f"{features[0].name} (and {len(features) - 1} more)"
