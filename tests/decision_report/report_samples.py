"""Trails of a few transitions, as control writes them, with the evidence of a promotion kept."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from sidecar.config_gates import Gates
from sidecar.decide.audit_chain import EMPTY, Deed, Head, check, seal
from sidecar.decide.evidence import Evidence
from sidecar.decide.evidence_record import record_of, with_record
from sidecar.decide.gates import judge
from sidecar.decide.lineage import with_lineage
from sidecar.decision_report.facts import DecisionReport, report_of
from sidecar.reports import Interval, ScoreDifference
from sidecar.standing import AuditEntry
from tests.decide.decide_samples import NOW, WEEK_S, evidence, quality

DAY = 86_400.0
# Rows per twentieth between -1 and 1, as a challenger that is a little surer of itself makes them.
HISTOGRAM = tuple(
    (round(-1 + at / 20, 2), round(-0.95 + at / 20, 2), n)
    for at, n in enumerate(
        [0, 0, 1, 1, 2, 3, 5, 9, 14, 25, 41, 70, 120, 190, 300, 470, 700, 1020, 1400, 1700, 1650, 980]
    )
)


def found(**changes: Any) -> Evidence:
    shown: dict[str, Any] = {
        "difference_histogram": HISTOGRAM,
        "score_difference": ScoreDifference(n=9_000, mean=0.004, mean_abs=0.02, p50=0.01, p95=0.11, max=0.62),
        "cohen_kappa": 0.91,
    }
    both = quality(214, 130, 9_100, gaps={"ece": Interval(-0.002, -0.006, 0.004)})
    sides = {
        "champion": msgspec.structs.replace(
            both.champion,
            metrics={"accuracy": 0.948, "brier": 0.041, "auc": 0.962},
            intervals={"accuracy": Interval(0.948, 0.943, 0.953)},
        ),
        "challenger": msgspec.structs.replace(
            both.challenger,
            metrics={"accuracy": 0.957, "brier": 0.037, "auc": 0.968},
            intervals={"accuracy": Interval(0.957, 0.952, 0.962)},
        ),
    }
    return evidence(**shown | {"quality": msgspec.structs.replace(both, **sides)} | changes)


def details(facts: dict[str, Any] | None = None) -> str:
    told: dict[str, Any] = {
        "target": {"url": "http://127.0.0.1:8001", "path": None},
        "force": False,
        "software": "0.6.0",
    }
    return json.dumps(told | (facts or {}), sort_keys=True, separators=(",", ":"))


def promoted(at: float, **changes: Any) -> Deed:
    """A promotion from 3 to 4 on passing gates."""
    proof, gates = found(), Gates()
    table = judge(gates, proof, at)
    told = details({"gates": msgspec.to_builtins(table.gates), "verdict": table.verdict})
    lineage = {"data": "s3://payments/2026-01", "code": "9f3c21d", "approved_by": "bob"}
    told = with_lineage(
        with_record(told, record_of(proof, gates, at)), lineage, lineage | {"data": "s3://payments/2025-11"}
    )
    fields: dict[str, Any] = {
        "at": at,
        "actor": "alice",
        "action": "promote",
        "deployment": "fraud",
        "from_version": "3",
        "to_version": "4",
        "reason": "better on the newest outcomes",
        "evidence": table.evidence,
        "details": told,
    }
    return Deed(**fields | changes)


def plain_step(at: float, action: str, before: str | None, after: str, **changes: Any) -> Deed:
    fields: dict[str, Any] = {
        "at": at,
        "actor": "sidecar" if action == "start" else "bob",
        "action": action,
        "deployment": "fraud",
        "from_version": before,
        "to_version": after,
        "reason": "because",
        "evidence": None,
        "details": details(),
    }
    return Deed(**fields | changes)


def sealed(*deeds: Deed) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    head = EMPTY
    for deed in deeds:
        entries.append(seal(head, deed))
        head = Head(entries[-1].seq, entries[-1].hash)
    return entries


def story(**changes: Any) -> list[AuditEntry]:
    """Version 3 for a week, 4 for three days, then back."""
    return sealed(
        plain_step(NOW - WEEK_S, "start", "3", "3"),
        promoted(NOW, **changes),
        plain_step(NOW + 3 * DAY, "rollback", "4", "3"),
    )


def report(seq: int | None = 2, **changes: Any) -> DecisionReport:
    entries = story(**changes)
    trail = check(entries, None, unheaded=len(entries))
    return report_of(entries, "fraud", seq, trail, NOW + 4 * DAY)
