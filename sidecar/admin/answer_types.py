"""The answers of the admin API as types, made of the reports and standings that they tell, for the API's description.

Keeps: an answer is told as `answers` shapes it: times as RFC 3339, what it leaves out, adds and calls otherwise stands
here in one table, and each call's answer in another; a test holds both against every call. All members are there but
those of `omit_defaults`, which are where they say something. Does not: shape answers. Called by `openapi`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sidecar import agreed, canary, recorded, reports, standing

_ONE = "/v1/deployments/{deployment}"
_CHALLENGER = f"{_ONE}/challengers/{{version}}"
# Seconds since the epoch in a report, RFC 3339 in an answer.
_TIMES = frozenset(
    {
        "at", "ended", "first_pass", "given_up", "kept_since", "promoted", "reference_at", "since", "step_since",
        "until", "watch_until",
    }
)  # fmt: skip
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
# A head is told as it was signed.
_AS_IT_IS: frozenset[type[msgspec.Struct]] = frozenset({recorded.SignedHead})


class Latency(msgspec.Struct):
    """Of paired requests, in milliseconds."""

    champion: reports.Quantiles
    challenger: reports.Quantiles
    slower: reports.Interval | None
    caveat: str


class BaselineName(msgspec.Struct):
    """Which baseline; all null where there is none."""

    model: str | None
    version: str | None
    digest: str | None


class Said(msgspec.Struct):
    """What a challenger said, row by row."""

    version: str
    prediction: tuple[str | float | None, ...]


class ReportText(msgspec.Struct):
    """A decision report inside JSON."""

    format: Literal["html", "markdown"]
    text: str


class Taken(msgspec.Struct):
    """The delivery that was taken."""

    taken: str


class IngestResult(msgspec.Struct):
    """What became of one event."""

    result: Literal["unknown_type"] | standing.Ingested


class TransitionEntry(msgspec.Struct, rename={"from_version": "from", "to_version": "to"}):
    """A step of the champion."""

    seq: int
    at: _Time
    action: str
    from_version: str | None
    to_version: str | None
    actor: str
    reason: str
    evidence: str | None


class Problem(msgspec.Struct):
    """RFC 9457; `detail` is a sentence that says what to do. What gates refuse has their table as well."""

    type: str
    title: str
    status: int
    detail: str
    verdict: reports.Verdict | msgspec.UnsetType = msgspec.UNSET
    evidence: str | msgspec.UnsetType = msgspec.UNSET
    gates: tuple[reports.GateVerdict, ...] | msgspec.UnsetType = msgspec.UNSET


class _Otherwise(NamedTuple):
    """How an answer differs from the report that it tells, besides its times."""

    name: str | None = None
    without: frozenset[str] = frozenset()
    called: Mapping[str, str] = {}
    more: Mapping[str, Any] = {}


_PAIRED_ROWS = _Otherwise(without=frozenset({"champion", "challenger"}))
_OTHERWISE: Mapping[type[msgspec.Struct], _Otherwise] = {
    reports.ComparisonReport: _Otherwise(
        "Comparison",
        without=frozenset({"copies", "latency_champion", "latency_challenger", "slower"}),
        more={
            "champion": str,
            "challenger": str | None,
            "due": int,
            "mirrored": int,
            "answered": int,
            "errors": dict[str, int],
            "dropped": dict[str, int],
            "lost": int,
            "noise_floor": float | None,
            "latency_ms": Latency,
            "outcomes": reports.PairedQuality | None,
        },
    ),
    reports.PairedQuality: _PAIRED_ROWS,
    reports.LabelWanted: _Otherwise(without=frozenset({"order"})),
    reports.DriftReport: _Otherwise(
        "Drift",
        without=frozenset({"baseline_model", "baseline_version", "baseline_digest"}),
        more={"baseline": BaselineName},
    ),
    reports.RowSkewReport: _Otherwise("RowSkew", called={"rows": "compared"}),
    reports.Cause: _Otherwise(called={"type_from": "from", "type_to": "to"}),
    standing.Decision: _Otherwise(more={"challengers": tuple[Said, ...]}),
    standing.AuditEntry: _Otherwise(more={"at_s": float}),
}


def _listed(name: str, kind: type[msgspec.Struct], member: str = "items", **more: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, [(member, tuple[kind, ...]), *more.items()], module=__name__)  # type: ignore[valid-type]


_ANSWERS: Mapping[tuple[str, str], type[msgspec.Struct]] = {
    ("GET", "/v1/deployments"): _listed("Deployments", standing.DeploymentStatus, waits=str | None),
    ("GET", _ONE): standing.DeploymentStatus,
    ("GET", f"{_ONE}/comparison"): reports.ComparisonReport,
    ("GET", f"{_ONE}/drift"): reports.DriftReport,
    ("POST", f"{_ONE}/drift/reference"): standing.FrozenReference,
    ("GET", f"{_ONE}/features"): reports.RowSkewReport,
    ("POST", f"{_ONE}/features"): reports.RowsCompared,
    ("GET", f"{_ONE}/gates"): reports.GateTable,
    ("GET", f"{_ONE}/gates/rehearsal"): recorded.Rehearsal,
    ("POST", f"{_ONE}/gates/rehearsal"): recorded.Rehearsal,
    ("GET", f"{_ONE}/champion"): standing.ChampionSpan,
    ("GET", f"{_ONE}/performance"): _listed("Performance", reports.VersionQuality),
    ("GET", f"{_ONE}/label-queue"): reports.LabelWants,
    ("GET", f"{_ONE}/transitions"): _listed("Transitions", TransitionEntry),
    ("GET", f"{_ONE}/transitions/{{seq}}/report"): ReportText,
    ("GET", f"{_ONE}/cost"): recorded.Cost,
    ("POST", f"{_ONE}/promote"): standing.Transition,
    ("POST", f"{_ONE}/override"): standing.Transition,
    ("GET", f"{_ONE}/approvals"): _listed("Approvals", agreed.ApprovalStatus),
    ("POST", f"{_ONE}/approvals"): agreed.ApprovalDone,
    ("GET", f"{_ONE}/canary"): canary.CanaryStatus,
    ("POST", f"{_ONE}/canary"): standing.Transition,
    ("POST", f"{_ONE}/hold"): agreed.HoldDone,
    ("POST", f"{_ONE}/rollback"): standing.Transition,
    ("PUT", _CHALLENGER): standing.ShadowChange,
    ("DELETE", _CHALLENGER): standing.ShadowChange,
    ("POST", f"{_ONE}/shadow"): standing.ShadowChange,
    ("POST", f"{_ONE}/registry/reconcile"): standing.Reconciliation,
    ("POST", "/v1/registry/webhook"): Taken,
    ("GET", "/v1/decisions/{request_id}"): standing.Decision,
    ("POST", "/v1/outcomes"): reports.OutcomeCounts,
    ("POST", "/v1/ingest"): IngestResult,
    ("GET", "/v1/alarms"): _listed("Alarms", standing.Alarm),
    ("POST", "/v1/alarms/{alarm}/acknowledge"): standing.Alarm,
    ("GET", "/v1/audit"): _listed("AuditPage", standing.AuditEntry, "entries"),
    ("GET", "/v1/audit/verify"): standing.AuditCheck,
    ("POST", "/v1/audit/verify"): standing.AuditCheck,
    ("GET", "/v1/audit/head"): recorded.SignedHead,
    ("GET", "/v1/events/dead-letters"): recorded.DeadLetters,
    ("POST", "/v1/events/dead-letters/{letter}/resend"): recorded.DeadLetter,
}


def answer_type(method: str, path: str) -> type[msgspec.Struct] | None:
    """What a call answers; None for one whose answer has no type."""
    kind = _ANSWERS.get((method, path))
    return None if kind is None else as_told(kind)


@cache
def as_told(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The type of what an answer tells of a report."""
    otherwise = _OTHERWISE.get(kind, _Otherwise())
    members = [member for member in _members(kind, otherwise) if member[0] not in otherwise.more]
    members += [(name, _told(annotation)) for name, annotation in otherwise.more.items()]
    called = {field.name: field.encode_name for field in msgspec.structs.fields(kind)} | dict(otherwise.called)
    return msgspec.defstruct(
        otherwise.name or kind.__name__,
        members,
        module=__name__,
        rename={name: other for name, other in called.items() if name != other},
        namespace={"__doc__": _described(kind)},
        kw_only=True,
    )


def _described(kind: type[msgspec.Struct]) -> str:
    """What a report says of itself, unless it speaks of how its times are kept."""
    says = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return "" if "epoch" in says else says


def _members(kind: type[msgspec.Struct], otherwise: _Otherwise) -> Iterator[tuple[Any, ...]]:
    may_be_left_out = kind.__struct_config__.omit_defaults
    for field in msgspec.structs.fields(kind):
        if field.name in otherwise.without:
            continue
        is_time = field.name in _TIMES and kind not in _AS_IT_IS
        annotation = _dated(field.type) if is_time else _told(field.type)
        if may_be_left_out or field.default is msgspec.UNSET:
            yield field.name, annotation, field.default if field.default is not msgspec.NODEFAULT else msgspec.UNSET
        else:
            yield field.name, annotation


def _dated(annotation: Any) -> Any:
    return _Time | None if type(None) in typing.get_args(annotation) else _Time


def _told(annotation: Any) -> Any:
    """The same, with each report in it as an answer tells it."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return as_told(annotation)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is Literal:
        return annotation
    told = tuple(each if each is Ellipsis else _told(each) for each in inner)
    if origin in (types.UnionType, typing.Union):
        return reduce(or_, told)
    return origin[told]
