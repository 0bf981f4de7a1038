"""What a transition was decided on, kept with it so that anyone can judge it again from the counts.

Keeps: the whole evidence but its examples and what no gate asked of the lineage; a number that JSON does not have
becomes null and never stops a promotion. Judged again by the same formulas it gives the same table and digest.
Does not: sign (the audit entry's hash covers it, and the trail's head has a signature), or store.
Called by: control, for an audit entry's details; `record`, which judges it again for a report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from sidecar import __version__
from sidecar.config_gates import Gates, LineageGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.gates import judge
from sidecar.decide.lineage import missing
from sidecar.reports import GateTable

# Grows when the same counts may give another verdict.
FORMULAS = "sidecar-gates/2"


class EvidenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`since` and `at` are the window that the evidence is from, in seconds since the epoch."""

    formulas: str
    software: str
    since: float
    at: float
    settings: dict[str, Any]
    evidence: Evidence


class NotRecomputable(ValueError):
    """What was kept cannot be judged by this version. The message is one sentence."""


def record_of(evidence: Evidence, settings: Gates, now: float, *, whole_lineage: bool = False) -> dict[str, Any]:
    """The record as plain JSON members. `whole_lineage`: for gates that nobody has thought of yet."""
    comparison = msgspec.structs.replace(evidence.comparison, worst=())
    lineage = evidence.lineage if whole_lineage else _asked_for(evidence, settings)
    kept = msgspec.structs.replace(evidence, comparison=comparison, lineage=lineage)
    record = EvidenceRecord(
        formulas=FORMULAS,
        software=__version__,
        since=evidence.comparison.since,
        at=now,
        settings=settings.model_dump(mode="json"),
        evidence=kept,
    )
    members: dict[str, Any] = _finite(msgspec.to_builtins(record))
    return members


def with_record(details: str, record: Mapping[str, Any]) -> str:
    """An audit entry's details (canonical JSON of an object) with the record."""
    if not record:
        return details
    told = {**json.loads(details), "record": record}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_record(document: object) -> EvidenceRecord:
    """The record out of an audit entry's details. Raises NotRecomputable."""
    try:
        return msgspec.convert(document, EvidenceRecord)
    except msgspec.ValidationError as error:
        raise NotRecomputable(f"the evidence was kept in another form than this version reads ({error})") from error


def judge_again(record: EvidenceRecord) -> GateTable:
    """The gate table from the kept counts. Raises NotRecomputable."""
    if record.formulas != FORMULAS:
        raise NotRecomputable(f"it was judged by {record.formulas}, this version judges by {FORMULAS}")
    try:
        settings = Gates.model_validate_json(json.dumps(record.settings))
    except ValidationError as error:
        raise NotRecomputable("its gates' settings are of another version") from error
    return judge(settings, record.evidence, record.at)


def _asked_for(evidence: Evidence, settings: Gates) -> Mapping[str, str] | None:
    """The registry's fields that a gate has asked for; the others stay in the registry."""
    if evidence.lineage is None:
        return None
    required = settings.lineage.require if isinstance(settings.lineage, LineageGate) else ()
    return {
        name: text
        for name, text in evidence.lineage.items()
        if any(not missing({name: text}, (field,)) for field in required)
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return value
