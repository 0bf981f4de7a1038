"""Evidence that passes every default gate, to be spoiled one field at a time."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.canary import CanaryStep
from sidecar.decide.evidence import Evidence
from sidecar.reports import (
    ComparisonReport,
    Copies,
    GateTable,
    Interval,
    Maturity,
    PairedQuality,
    Quantiles,
    VersionQuality,
)
from sidecar.standing import Alarm, Canary, DeploymentState, Target

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
    challenger_failures=0,
    champion_only_failures=5,
    challenger_only_failures=0,
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


def maturity(better: int, worse: int, same: int, **changes: Any) -> Maturity:
    """Every row has had its time, and its outcome."""
    rows = better + worse + same
    fields: dict[str, Any] = {
        "after_s": 60.0,
        "predicted": rows,
        "matched": rows,
        "coverage": 1.0,
        "better": better,
        "worse": worse,
        "same": same,
        "differing": better + worse,
        "undecided": 0,
        "bounds": ((better - worse) / rows, (better - worse) / rows) if rows else None,
        "arrival_e": 1.0,
        "refused": None,
    }
    return Maturity(**fields | changes)


def quality(better: int, worse: int, same: int, **changes: Any) -> PairedQuality:
    """Fields of maturity and of the whole alike, by name; by default every row is mature."""
    matched = better + worse + same
    of_mature = {name: changes.pop(name) for name in list(changes) if name in Maturity.__struct_fields__}
    both = [
        VersionQuality(version=version, predicted=matched, matched=matched, coverage=1.0, metrics={})
        for version in ("3", "4")
    ]
    fields: dict[str, Any] = {
        "champion": both[0],
        "challenger": both[1],
        "matched": matched,
        "better": better,
        "worse": worse,
        "same": same,
        "maturity": maturity(better, worse, same, **of_mature),
    }
    return PairedQuality(**fields | changes)


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


CANARY = Canary(
    version="4",
    target=KNOWN["4"],
    steps=(CanaryStep(0.05, 600.0, 300), CanaryStep(0.5, 600.0, 300)),
    since=NOW - 60,
    step_since=NOW - 60,
    salt="fraud\n4\n5",
)


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
