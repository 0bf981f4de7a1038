"""The gate table: may this challenger take over from this champion, gate by gate.

Keeps: a failed gate is never outweighed; without fail, one insufficient gate makes the whole insufficient; a gate
that is off says so and counts for nothing. The table's `evidence` is the digest over all that was judged.
Does not: promote (`promotion`), gather evidence (control), or remember earlier tables.
Called by: control, for the API, metrics, and before every promotion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from sidecar.config_gates import Gates
from sidecar.decide import outcome_gates, quality_gates, traffic_gates
from sidecar.decide.approvals import approvals
from sidecar.decide.evidence import Evidence, digest
from sidecar.decide.finding import Finding
from sidecar.reports import GateTable, GateVerdict, Verdict

# Name, as in the settings, to judgement. The order is the one of every table, answer and dashboard.
GATES: Mapping[str, Callable[[Any, Evidence, float], Finding]] = {
    "pairs": traffic_gates.pairs,
    "duration": traffic_gates.duration,
    "completeness": traffic_gates.completeness,
    "errors": traffic_gates.errors,
    "latency": traffic_gates.latency,
    "agreement": traffic_gates.agreement,
    "prediction": traffic_gates.prediction,
    "outcome": outcome_gates.outcome,
    "calibration": outcome_gates.calibration,
    "segments": outcome_gates.segments,
    "inputs": quality_gates.inputs,
    "lineage": quality_gates.lineage,
    "approvals": approvals,
}


def judge(settings: Gates, evidence: Evidence, now: float) -> GateTable:
    """All gates on this evidence; `now` in seconds since the epoch is used for estimates of time to wait only."""
    rows = tuple(_row(name, getattr(settings, name), evidence, now) for name in GATES)
    verdict = overall(tuple(row.verdict for row in rows))
    return GateTable(
        deployment=evidence.deployment,
        champion=evidence.champion,
        challenger=evidence.challenger,
        verdict=verdict,
        evidence=digest(evidence, settings, verdict, rows),
        gates=rows,
    )


def overall(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Fail if any fails, else insufficient if any is, else pass; gates that are off are left out.

    >>> overall(("pass", "off", "insufficient"))
    'insufficient'
    """
    if "fail" in verdicts:
        return "fail"
    return "insufficient" if "insufficient" in verdicts else "pass"


def _row(name: str, policy: object, evidence: Evidence, now: float) -> GateVerdict:
    if policy is False:
        return GateVerdict(
            name=name, verdict="off", observed=None, required=None, n=0, detail="switched off in the settings"
        )
    found = GATES[name](policy, evidence, now)
    observed = found.observed
    if isinstance(observed, float) and not math.isfinite(observed):
        observed = None
    return GateVerdict(
        name=name,
        verdict=found.verdict,
        observed=observed,
        required=found.required,
        n=found.n,
        detail=found.says,
        policy=policy.model_dump(mode="json") if isinstance(policy, BaseModel) else {},
    )
