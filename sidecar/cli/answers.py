"""The parts of the admin API's answers that the command line shows, as frozen types.

Members that are not here are ignored, so that a newer sidecar can still be read. Decoded by `client.Answer.read_as`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["pass", "fail", "insufficient", "off"]


class Champion(msgspec.Struct, frozen=True):
    """The version that answers callers."""

    version: str
    since: str | None = None


class Challenger(msgspec.Struct, frozen=True):
    """A version in the shadow."""

    version: str
    fraction: float = 1.0
    enabled: bool = True
    health: str = "unknown"


class Divergence(msgspec.Struct, frozen=True):
    """The registry's alias of the champion is at another version than the one that serves."""

    alias: str
    registry: str
    sidecar: str
    since: str | None = None


class Registry(msgspec.Struct, frozen=True):
    """`reachable` is None where no registry is configured; `unwritten` is what it was not told yet."""

    reachable: bool | None = None
    since: str | None = None
    age_s: float | None = None
    diverged: bool = False
    says: str | None = None
    divergence: Divergence | None = None
    unwritten: str | None = None


class FromRegistry(msgspec.Struct, frozen=True):
    """What was taken from the registry's aliases, and what is waited for."""

    aliases: dict[str, str] = {}
    waits: tuple[str, ...] = ()


class Canary(msgspec.Struct, frozen=True):
    """A challenger that answers a share of the requests: how large a one, and at which of its steps."""

    version: str
    weight: float
    step: int
    steps: tuple[object, ...] = ()
    waits: str | None = None

    def __str__(self) -> str:
        """In a few words."""
        return f"canary {self.weight:.4g}, step {self.step}/{len(self.steps)}"


class Deployment(msgspec.Struct, frozen=True):
    """One deployment."""

    name: str
    generation: int
    state: str
    champion: Champion
    previous: str | None = None
    owner: str = ""
    challengers: tuple[Challenger, ...] = ()
    registry: Registry = Registry()
    config_differs: bool = False
    differences: tuple[str, ...] = ()
    shadow_enabled: bool = True
    lineage: dict[str, dict[str, str]] = {}
    from_registry: FromRegistry | None = None
    automation: dict[str, str] = {}
    canary: Canary | None = None

    def state_of(self, challenger: Challenger) -> str:
        """How a challenger is, and whether it answers callers."""
        state = challenger.health if challenger.enabled and self.shadow_enabled else "switched off"
        mine = self.canary is not None and self.canary.version == challenger.version
        return f"{state}, {self.canary}" if mine else state


class Deployments(msgspec.Struct, frozen=True):
    """All deployments that are routed; `waits` says why not everything is served yet."""

    items: tuple[Deployment, ...]
    waits: str | None = None


class ShadowChange(msgspec.Struct, frozen=True):
    """What a call changed about the shadow; `audit_seq` is None where nothing did."""

    done: str
    audit_seq: int | None = None


class Gate(msgspec.Struct, frozen=True):
    """One row of the gate table."""

    name: str
    verdict: Verdict
    observed: float | str | None = None
    required: float | str | None = None
    n: int = 0
    detail: str = ""


class Gates(msgspec.Struct, frozen=True):
    """The gate table."""

    champion: str
    challenger: str
    verdict: Verdict
    gates: tuple[Gate, ...]
    evidence: str | None = None
    deployment: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """What a refused promotion says about the gates."""

    gates: tuple[Gate, ...] = ()


class Cause(msgspec.Struct, frozen=True):
    """Why a feature moved."""

    kind: str
    says: str


class Feature(msgspec.Struct, frozen=True):
    """One feature, live against its baseline."""

    name: str
    n: int
    psi: float | None
    kl_lower: float | None
    alarm: bool
    missing: float | None = None
    unseen: float | None = None
    cause: Cause | None = None


class Baseline(msgspec.Struct, frozen=True):
    """What the live rows are held against. All None: there is no baseline."""

    model: str | None = None
    version: str | None = None
    digest: str | None = None


class SharedShift(msgspec.Struct, frozen=True):
    """Which moved features the predictions' shift goes with."""

    rows: int
    shares: dict[str, float]


class Drift(msgspec.Struct, frozen=True):
    """Every feature and the prediction."""

    baseline: Baseline
    rows_seen: int
    rows_sampled: int
    severity: str
    features: tuple[Feature, ...]
    prediction: Feature | None = None
    shift: SharedShift | None = None


class SkewedFeature(msgspec.Struct, frozen=True):
    """One feature as two pipelines wrote it for the same rows."""

    name: str
    compared: int
    differs: int
    share: float
    alarm: bool
    share_lower: float | None = None
    median_ratio: float | None = None
    median_difference: float | None = None
    cause: Cause | None = None


class RowSkew(msgspec.Struct, frozen=True):
    """Live rows beside an offline pipeline's."""

    since: str | None
    compared: int
    features: tuple[SkewedFeature, ...]


class RowsCompared(msgspec.Struct, frozen=True):
    """What became of posted rows."""

    compared: int = 0
    duplicate: int = 0
    unknown: int = 0
    ignored_values: int = 0


class FrozenReference(msgspec.Struct, frozen=True):
    """What `recent` compares with from now on."""

    at: str | None
    audit_seq: int
    rows: int | None = None


class Acknowledgement(msgspec.Struct, frozen=True):
    """Who has seen an alarm, when, and why it may stand."""

    by: str
    reason: str
    at: str | None = None


class Alarm(msgspec.Struct, frozen=True):
    """Something a person should know."""

    id: str
    deployment: str
    kind: str
    severity: str
    says: str
    action: str
    since: str | None = None
    owner: str = ""
    acknowledged: bool = False
    ended: str | None = None
    explained_by: str | None = None
    acknowledgement: Acknowledgement | None = None


class Alarms(msgspec.Struct, frozen=True):
    """Open ones first."""

    items: tuple[Alarm, ...]


class AuditEntry(msgspec.Struct, frozen=True, rename={"from_version": "from", "to_version": "to"}):
    """One line of the trail."""

    seq: int
    at: str | None
    actor: str
    action: str
    deployment: str
    reason: str
    from_version: str | None = None
    to_version: str | None = None


class Audit(msgspec.Struct, frozen=True):
    """Oldest first."""

    entries: tuple[AuditEntry, ...]


class AuditCheck(msgspec.Struct, frozen=True):
    """What verification found."""

    ok: bool
    entries: int
    head: str | None = None
    fault: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """What a dry run would do."""

    digest: str
    target: str
    rollback_to: str
    watch_s: float = 0.0
    verdicts: dict[str, str] = {}
    approvals: tuple[str, ...] = ()


class ApprovalDone(msgspec.Struct, frozen=True):
    """What became of an approval; `audit_seq` is None where nothing changed."""

    challenger: str
    done: str
    people: tuple[str, ...] = ()
    needed: int = 0
    audit_seq: int | None = None


class HoldDone(msgspec.Struct, frozen=True):
    """Whether the machine may promote a version."""

    version: str
    done: str
    audit_seq: int | None = None


class Transition(msgspec.Struct, frozen=True, rename={"from_version": "from", "to_version": "to"}):
    """A promotion or rollback that was done, or with `dry_run` would have been; `unrecorded` says what it waits for."""

    from_version: str | None
    to_version: str
    generation: int
    audit_seq: int | None = None
    dry_run: bool = False
    unrecorded: str | None = None
    plan: Plan | None = None
    weight: float | None = None


class Reconciliation(msgspec.Struct, frozen=True, rename={"from_version": "from", "to_version": "to"}):
    """The registry's alias, pointed at the version that serves; `audit_seq` is None where nothing differed."""

    alias: str
    from_version: str | None
    to_version: str
    written: bool
    audit_seq: int | None = None


class OutcomeCounts(msgspec.Struct, frozen=True):
    """What became of posted outcomes."""

    matched: int = 0
    pending: int = 0
    duplicate: int = 0
    conflict: int = 0
    orphan: int = 0
    late: int = 0
