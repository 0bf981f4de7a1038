"""Lineage: what the registry says of a version's making, as gates ask for it and as the trail keeps it.

Names: `data`, `code`, `params.*`, `metrics.*`, `approved_by`, `created_by`, `run`; a registry may say more.
Keeps: a field without text is missing; the trail gets the few fields that people ask for and a digest over all of
them, so that it stays small and a later change of the registry can be proven.
Does not: ask a registry. Called by: the gate `lineage`, and `control/controller` for the audit entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

NOTED = ("data", "code", "approved_by", "created_by", "run")
_LONGEST = 200


def missing(lineage: Mapping[str, str], required: Iterable[str]) -> tuple[str, ...]:
    """The required fields that say nothing. `metrics` and `metrics.*` are there with any one of them.

    >>> missing({"data": "s3://d", "metrics.auc": "0.9", "code": " "}, ("data", "code", "metrics", "params.*"))
    ('code', 'params.*')
    """
    return tuple(field for field in required if not _told(lineage, field.removesuffix(".*")))


def noted(lineage: Mapping[str, str]) -> dict[str, object]:
    """What an audit entry keeps of it: digest over everything, and the fields of NOTED, cut where they are long."""
    text = json.dumps(dict(lineage), sort_keys=True, separators=(",", ":"))
    told = {name: lineage[name][:_LONGEST] for name in NOTED if lineage.get(name, "").strip()}
    return {"digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", **told}


def with_lineage(details: str, lineage: Mapping[str, str], former: Mapping[str, str] | None = None) -> str:
    """An audit entry's details (canonical JSON of an object) with what is noted of the new champion's lineage, and of
    the former one's.
    """
    of = {name: noted(fields) for name, fields in (("lineage", lineage), ("lineage_before", former)) if fields}
    if not of:
        return details
    told = {**json.loads(details), **of}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _told(lineage: Mapping[str, str], name: str) -> bool:
    if lineage.get(name, "").strip():
        return True
    return any(field.startswith(f"{name}.") and text.strip() for field, text in lineage.items())
