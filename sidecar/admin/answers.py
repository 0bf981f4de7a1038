"""Reports and standings as the JSON members that CONTRACT.md fixes.

Keeps: times are RFC 3339 in UTC with Z, every closed set of counters is complete with zeros, None becomes null and is
never left out. Pure: structs in, plain JSON values out. Does not: compute anything. Called by `api` and `live`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from sidecar.agreed import ApprovalStatus
from sidecar.canary import CanaryStatus
from sidecar.recorded import Cost, DeadLetter, DeadLetters, Rehearsal
from sidecar.records import DROP_REASONS, LEG_ERRORS
from sidecar.reports import (
    Cause,
    ComparisonReport,
    DriftReport,
    FeatureDrift,
    GateTable,
    LabelWants,
    PairedQuality,
    Quantiles,
    RowSkewReport,
    VersionQuality,
)
from sidecar.standing import (
    Alarm,
    AuditEntry,
    ChampionSpan,
    Decision,
    DeploymentStatus,
    Event,
    FrozenReference,
    RegistryStatus,
)

_LATEST_S = 253_402_300_799.0  # the end of the year 9999, the last that RFC 3339 can write

_LATENCY_CAVEAT = "paired on the same requests; the challenger may run on other hardware and with colder caches"

Json = dict[str, Any]


def rfc3339(at_s: float | None) -> str | None:
    """Seconds since the epoch as `2026-01-31T12:00:00.000Z`; None stays None."""
    if at_s is None or not math.isfinite(at_s):
        return None
    moment = datetime.fromtimestamp(min(max(at_s, 0.0), _LATEST_S), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def deployments(statuses: Iterable[DeploymentStatus], waits: str | None) -> Json:
    """`GET /v1/deployments`."""
    return {"items": [deployment(status) for status in statuses], "waits": waits}


def deployment(status: DeploymentStatus) -> Json:
    """`GET /v1/deployments/{d}`."""
    champion, watch = status.champion, status.watch
    return {
        **_members(status),
        "champion": {"version": champion.version, "url": champion.url, "since": rfc3339(champion.since)},
        "watch_until": rfc3339(status.watch_until),
        "watch": None if watch is None else {**_members(watch), "until": rfc3339(watch.until)},
        "registry": registry(status.registry),
        "canary": None if status.canary is None else canary(status.canary),
    }


def canary(status: CanaryStatus) -> Json:
    """`GET …/canary`."""
    return {**_members(status), "since": rfc3339(status.since), "step_since": rfc3339(status.step_since)}


def registry(status: RegistryStatus) -> Json:
    """The registry as one deployment sees it. `divergence` has both sides, null where they agree."""
    diverged = status.divergence
    both = None if diverged is None else {**_members(diverged), "since": rfc3339(diverged.since)}
    return {**_members(status), "since": rfc3339(status.since), "divergence": both}


def comparison(
    report: ComparisonReport, champion: str, challenger: str | None, paired: PairedQuality | None = None
) -> Json:
    """`GET …/comparison`. The noise floor is null until repeated requests measure it."""
    copies = report.copies
    members = _members(report)
    for name in ("copies", "latency_champion", "latency_challenger", "slower"):
        del members[name]
    return members | {
        "champion": champion,
        "challenger": challenger,
        "since": rfc3339(report.since),
        "due": copies.due,
        "mirrored": copies.mirrored,
        "answered": copies.answered,
        "errors": complete(copies.errors, LEG_ERRORS),
        "dropped": complete(copies.dropped, DROP_REASONS),
        "lost": copies.lost,
        "noise_floor": report.noise.self_disagreement if report.noise is not None else None,
        "latency_ms": {
            "champion": _quantiles(report.latency_champion),
            "challenger": _quantiles(report.latency_challenger),
            "slower": report.slower,
            "caveat": _LATENCY_CAVEAT,
        },
        "outcomes": None if paired is None else _outcomes(paired),
        "worst": [{**_members(pair), "at": rfc3339(pair.at)} for pair in report.worst],
    }


def label_queue(wants: LabelWants) -> Json:
    """`GET …/label-queue`."""
    items = [{**_members(wanted), "at": rfc3339(wanted.at)} for wanted in wants.items]
    for item in items:
        del item["order"]
    return {**_members(wants), "items": items}


def drift(report: DriftReport) -> Json:
    """`GET …/drift`."""
    members = _members(report)
    for name in ("baseline_model", "baseline_version", "baseline_digest"):
        del members[name]
    return members | {
        "baseline": {
            "model": report.baseline_model,
            "version": report.baseline_version,
            "digest": report.baseline_digest,
        },
        "features": [_feature(feature) for feature in report.features],
        "prediction": _feature(report.prediction) if report.prediction is not None else None,
        "reference_at": rfc3339(report.reference_at),
        "schema": _feature(report.schema) if report.schema is not None else None,
        "shift": None if report.shift is None else {**_members(report.shift), "since": rfc3339(report.shift.since)},
    }


def row_skew(report: RowSkewReport) -> Json:
    """`GET …/features`."""
    return {
        "since": rfc3339(report.since),
        "compared": report.rows,
        "features": [
            {
                **_members(feature),
                "since": rfc3339(feature.since),
                "cause": _cause(feature.cause) if feature.cause is not None else None,
            }
            for feature in report.features
        ],
    }


def reference(frozen: FrozenReference) -> Json:
    """`POST …/drift/reference`."""
    return {**_members(frozen), "at": rfc3339(frozen.at)}


def gates(table: GateTable) -> Json:
    """`GET …/gates`."""
    return _members(table)


def approvals(given: Iterable[ApprovalStatus]) -> Json:
    """`GET …/approvals`."""
    return {"items": [{**_members(each), "at": rfc3339(each.at)} for each in given]}


def performance(versions: Iterable[VersionQuality]) -> Json:
    """`GET …/performance`. `estimated` is the champion's, null without a calibration or before the first row."""
    return {"items": [_members(version) for version in versions]}


def champion_span(span: ChampionSpan) -> Json:
    """`GET …/champion`."""
    return {**_members(span), "since": rfc3339(span.since), "until": rfc3339(span.until)}


def decision(found: Decision) -> Json:
    """`GET /v1/decisions/{request_id}`."""
    return {
        **_members(found),
        "at": rfc3339(found.at),
        "challengers": [{"version": version, "prediction": said} for version, said in found.challengers],
        "champion": None if found.champion is None else champion_span(found.champion),
    }


def alarm(raised: Alarm) -> Json:
    """One item of `GET /v1/alarms`."""
    seen = raised.acknowledgement
    return {
        **_members(raised),
        "since": rfc3339(raised.since),
        "ended": rfc3339(raised.ended),
        "acknowledgement": None if seen is None else {**_members(seen), "at": rfc3339(seen.at)},
    }


def audit_entry(entry: AuditEntry) -> Json:
    """One entry of `GET /v1/audit`; `details` stays the text that the hash covers, and `at_s` the time that it does."""
    return {**_members(entry), "at": rfc3339(entry.at), "at_s": entry.at}


def transition_entry(entry: AuditEntry) -> Json:
    """One item of `GET …/transitions`; the report tells the rest."""
    return {
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "action": entry.action,
        "from": entry.from_version,
        "to": entry.to_version,
        "actor": entry.actor,
        "reason": entry.reason,
        "evidence": entry.evidence,
    }


def cost(found: Cost) -> Json:
    """`GET …/cost`."""
    members = _members(found)
    return members | {
        "since": rfc3339(found.since),
        "until": rfc3339(found.until),
        "kept_since": rfc3339(found.kept_since),
        "champions": [champion_span(span) for span in found.champions],
        "alarms": [alarm(each) for each in found.alarms],
    }


def rehearsal(found: Rehearsal) -> Json:
    """`GET` and `POST …/gates/rehearsal`."""
    challengers = []
    for each in found.challengers:
        items = [{**_members(hour), "at": rfc3339(hour.at)} for hour in each.items]
        times = {"first_pass": rfc3339(each.first_pass), "promoted": rfc3339(each.promoted)}
        challengers.append({**_members(each), **times, "items": items})
    return _members(found) | {
        "since": rfc3339(found.since),
        "until": rfc3339(found.until),
        "kept_since": rfc3339(found.kept_since),
        "challengers": challengers,
        "moves": [{**_members(move), "at": rfc3339(move.at)} for move in found.moves],
    }


def dead_letters(found: DeadLetters) -> Json:
    """`GET /v1/events/dead-letters`."""
    return {**_members(found), "items": [dead_letter(letter) for letter in found.items]}


def dead_letter(letter: DeadLetter) -> Json:
    """One of them."""
    return {**_members(letter), "given_up": rfc3339(letter.given_up)}


def event(happened: Event) -> Json:
    """One event of `GET /v1/events`."""
    return {**_members(happened), "at": rfc3339(happened.at)}


def complete(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """A closed set of counters with its zeros; a name that is not in the set is kept, so that nothing is hidden."""
    return dict.fromkeys(names, 0) | dict(counts)


def _outcomes(paired: PairedQuality) -> Json:
    """Both versions on the same rows; each one's own figures are its performance."""
    return {name: value for name, value in _members(paired).items() if name not in ("champion", "challenger")}


def _feature(feature: FeatureDrift) -> Json:
    cause = _cause(feature.cause) if feature.cause is not None else None
    return {**_members(feature), "since": rfc3339(feature.since), "cause": cause}


def _cause(cause: Cause) -> Json:
    members: Json = {
        "kind": cause.kind,
        "says": cause.says,
        "share": cause.share,
        "explained": cause.explained,
        "confirmed": cause.confirmed,
    }
    parameters = {
        "factor": cause.factor,
        "offset": cause.offset,
        "value": cause.value,
        "name": cause.name,
        "with": cause.with_,
        "from": cause.type_from,
        "to": cause.type_to,
        "values": cause.values or None,
    }
    return members | {name: value for name, value in parameters.items() if value is not None}


def _quantiles(quantiles: Quantiles) -> Json:
    return {"p50": quantiles.p50, "p99": quantiles.p99, "n": quantiles.n}


def _members(struct: msgspec.Struct) -> Json:
    """A struct's fields under the names that JSON has for them (`from_version` is `from`)."""
    names = zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    return {encoded: getattr(struct, field) for field, encoded in names}
