"""Evidence that passes every default gate, to be spoiled one field at a time."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.decide.evidence import Evidence
from sidecar.reports import ComparisonReport, Copies, GateTable, Interval, PairedQuality, Quantiles, VersionQuality
from sidecar.standing import Alarm, DeploymentState, Target

NOW = 1_700_000_000.0
WEEK_S = 7 * 86_400.0

REPORT = ComparisonReport(
    since=NOW - WEEK_S,
    mirrored_s=WEEK_S,
    copies=Copies(mirrored=9_990, answered=9_980, errors={"timeout": 10}, dropped={"queue_full": 7, "timeout": 3}),
    pairs=10_000,
    paired_requests=9_980,
    judged_requests=9_990,
    champion_failures=5,
    challenger_failures=8,
    unpaired=0,
    agreement=Interval(0.95, 0.94, 0.96),
    agreement_basis="labels",
    flips={},
    score_difference=None,
    prediction_psi=0.02,
    latency_champion=Quantiles(9_980, 4.0, 10.0),
    latency_challenger=Quantiles(9_980, 5.0, 12.0),
    worst=(),
)


def quality(better: int, worse: int, same: int) -> PairedQuality:
    matched = better + worse + same
    both = [
        VersionQuality(version=version, predicted=matched, matched=matched, coverage=1.0, metrics={})
        for version in ("3", "4")
    ]
    return PairedQuality(champion=both[0], challenger=both[1], matched=matched, better=better, worse=worse, same=same)


def evidence(**changes: Any) -> Evidence:
    """`comparison` fields and evidence fields alike, by name."""
    in_report = {name: changes.pop(name) for name in list(changes) if name in ComparisonReport.__struct_fields__}
    fields: dict[str, Any] = {
        "deployment": "fraud",
        "champion": "3",
        "challenger": "4",
        "baseline_digest": "sha256:ba5e",
        "watched_rows": 9_980,
        "comparison": msgspec.structs.replace(REPORT, **in_report),
        "quality": quality(200, 100, 9_700),
        "open_alarms": (),
        "lineage": {"data": "s3://d", "code": "abc", "approved_by": ""},
    }
    return Evidence(**fields | changes)


def alarm(**changes: Any) -> Alarm:
    fields: dict[str, Any] = {
        "id": "a1",
        "deployment": "fraud",
        "kind": "data.broken",
        "severity": "critical",
        "says": "amount: live = 0.01 × trained",
        "action": "fix the feed",
        "since": NOW,
        "owner": "risk",
        "acknowledged": False,
    }
    return Alarm(**fields | changes)


KNOWN = {version: Target(f"http://127.0.0.1:80{version}0") for version in ("2", "3", "4")}


def state(**changes: Any) -> DeploymentState:
    fields: dict[str, Any] = {
        "deployment": "fraud",
        "generation": 5,
        "champion": "3",
        "champion_target": KNOWN["3"],
        "champion_since": NOW - WEEK_S,
        "previous": "2",
        "previous_target": Target("http://127.0.0.1:1"),
    }
    return DeploymentState(**fields | changes)


def table(**changes: Any) -> GateTable:
    fields: dict[str, Any] = {
        "deployment": "fraud",
        "champion": "3",
        "challenger": "4",
        "verdict": "pass",
        "evidence": "sha256:e1",
        "gates": (),
    }
    return GateTable(**fields | changes)
