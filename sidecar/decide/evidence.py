"""Evidence: all reports on one challenger against one champion and one baseline, and the digest that names them.

Keeps: the digest covers champion, challenger, baseline, the configuration of the gates and the gate table; change
any of them, or one number in the table, and it is another digest. Equal content gives an equal digest on every
replica and in every version of Python.
Does not: judge (`gates`), gather (observers do), or know when evidence began anew (control does).
Called by: `control`, which builds it, and `gates`, which judges it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import msgspec

from sidecar.agreed import Approval
from sidecar.config_gates import Gates
from sidecar.reports import ComparisonReport, GateVerdict, PairedQuality, Verdict
from sidecar.standing import Alarm


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a challenger.

    Attributes:
        baseline_digest: of the baseline that inputs are watched against; None where there is none.
        baseline_limit_s: how long ago the registry may have last named this baseline; None where it is not from there.
        baseline_age_s: how long ago it did; None where that is not known.
        watched_rows: live rows that were read and counted against it.
        quality: None while no version's rows have an outcome.
        open_alarms: of this deployment; others are ignored.
        lineage: the challenger's registry fields; None where the registry has not told yet, or there is none.
        lineage_limit_s, lineage_age_s: the same of the registry's word on the challenger.
        approvals: that count, one a person.
        segments: the segments that the settings name, seen or not.
        void_s: seconds of traffic under a broken input that are left out of all this, since the evidence began.
    """

    deployment: str
    champion: str
    challenger: str
    baseline_digest: str | None
    watched_rows: int
    comparison: ComparisonReport
    quality: PairedQuality | None
    open_alarms: tuple[Alarm, ...]
    lineage: Mapping[str, str] | None
    baseline_limit_s: float | None = None
    baseline_age_s: float | None = None
    lineage_limit_s: float | None = None
    lineage_age_s: float | None = None
    approvals: tuple[Approval, ...] = ()
    segments: tuple[str, ...] = ()
    void_s: float = 0.0


def digest(evidence: Evidence, settings: Gates, verdict: Verdict, gates: tuple[GateVerdict, ...]) -> str:
    """`sha256:<hex>` over canonical JSON (sorted keys, no spaces, ASCII).

    Raises ValueError for a number that JSON does not have (NaN, infinity): gates report None there.
    """
    document = {
        "deployment": evidence.deployment,
        "champion": evidence.champion,
        "challenger": evidence.challenger,
        "baseline": evidence.baseline_digest,
        "settings": settings.model_dump(mode="json"),
        "verdict": verdict,
        "gates": msgspec.to_builtins(gates),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
