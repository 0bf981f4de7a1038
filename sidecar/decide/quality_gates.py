"""Gates on where answers come from: inputs and lineage.

Keeps: no baseline, no word of the registry, or one that is too old, are `insufficient`, never pass.
Does not: combine gates (`gates` does), look at traffic (`traffic_gates`) or outcomes (`outcome_gates`).
Called by: the table in `gates`.
"""

from __future__ import annotations

from sidecar.config_gates import InputsGate, LineageGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.finding import Finding
from sidecar.decide.lineage import missing

# Fewer rows could not show that an input is broken.
_WATCHED_ROWS = 100


def inputs(policy: InputsGate, evidence: Evidence, now: float) -> Finding:
    """No open data.broken alarm, and a baseline without which none could ever be raised, and that still is the one."""
    del policy, now
    broken = [
        alarm
        for alarm in evidence.open_alarms
        if alarm.deployment == evidence.deployment and alarm.kind == "data.broken" and alarm.ended is None
    ]
    required = "no open data.broken alarm"
    if broken:
        says = f"the input is broken, fix the feed first: {broken[0].says}"
        return Finding("fail", f"{len(broken)} open", required, len(broken), says)
    if evidence.baseline_digest is None:
        says = (
            "there is no baseline, so a broken input would go unseen: make one with `sidecar baseline build` and name"
            " it under `baseline:`"
        )
        return Finding("insufficient", "no baseline", required, 0, says)
    stale = _stale("baseline", evidence.baseline_limit_s, evidence.baseline_age_s)
    if stale is not None:
        return stale
    watched = evidence.watched_rows
    if watched < _WATCHED_ROWS:
        says = (
            f"{watched:,} of {_WATCHED_ROWS} rows were read and watched; if traffic flows, `sidecar drift` counts what"
            " could not be read"
        )
        return Finding("insufficient", "none open", required, watched, says)
    says = "no data.broken alarm is open"
    if evidence.void_s > 0:
        says += f"; {_span(evidence.void_s)} of traffic under one are left out of the evidence"
    return Finding("pass", "none open", required, watched, says)


def _stale(what: str, limit_s: float | None, age_s: float | None) -> Finding | None:
    """What the registry has not confirmed for too long may be otherwise by now: another baseline, an approval gone."""
    if limit_s is None or (age_s is not None and age_s <= limit_s):
        return None
    required = f"{what} confirmed within {_span(limit_s)}"
    way_out = "see why the registry does not confirm it (`sidecar status`); rollback is not held up"
    if age_s is None:
        says = f"nobody knows when the registry last confirmed the {what}: {way_out}"
        return Finding("insufficient", "not known", required, 0, says)
    says = f"the registry last confirmed the {what} {_span(age_s)} ago, registry.max_age_s is {limit_s:g}: {way_out}"
    return Finding("insufficient", f"{_span(age_s)} ago", required, 0, says)


def _span(seconds: float) -> str:
    """Coarse, so that the table's digest does not change with every second that passes."""
    for unit_s, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def lineage(policy: LineageGate, evidence: Evidence, now: float) -> Finding:
    """The registry knows where the challenger comes from. Fails where it says that fields are missing."""
    del now
    needed = policy.require
    required = ", ".join(needed) or "nothing"
    if not needed:
        return Finding("pass", "0 of 0 fields", required, 0, "no registry field is required")
    if evidence.lineage is None:
        says = f"the registry has told nothing of version {evidence.challenger} yet: see `sidecar registry status`"
        return Finding("insufficient", "unknown", required, 0, says)
    lacking = missing(evidence.lineage, needed)
    present = f"{len(needed) - len(lacking)} of {len(needed)} fields"
    if lacking:
        says = f"version {evidence.challenger} lacks {', '.join(lacking)} in the registry"
        return Finding("fail", present, required, len(needed), says)
    stale = _stale("lineage", evidence.lineage_limit_s, evidence.lineage_age_s)
    if stale is not None:
        return stale
    return Finding("pass", present, required, len(needed), "every required field is in the registry")
