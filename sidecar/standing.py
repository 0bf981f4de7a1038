"""How things stand: what the control side answers about deployments, transitions, alarms and the audit trail.

Frozen. Times are seconds since the epoch here and become RFC 3339 at the admin API's edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from sidecar.agreed import PlanShown
from sidecar.canary import CanaryStatus, CanaryStep
from sidecar.reports import AlarmKind, CauseKind, Severity
from sidecar.watched import WatchStatus

# What becomes of one half of an exchange that a payload logger sent, and of what is none that concerns us.
Ingested = Literal["joined", "waiting", "duplicate", "unknown_endpoint", "unknown_service"]
PassedOver = Literal["unknown_service", "unknown_type", "malformed", "too_large", "busy"]
Action = Literal[
    "start", "promote", "override", "rollback", "acknowledge", "reconcile", "freeze_reference", "resend_event",
    "recommend_retraining", "approve", "withdraw_approval", "void_approvals", "hold", "release",
    "canary_start", "canary_step", "canary_stop",
]  # fmt: skip
EventType = Literal[
    "sidecar.drift.detected", "sidecar.data.broken", "sidecar.prediction.shifted", "sidecar.outcome.degraded",
    "sidecar.retrain.recommended", "sidecar.promotion.ready", "sidecar.promoted", "sidecar.rolledback",
    "sidecar.challenger.unhealthy", "sidecar.audit.head", "sidecar.canary.moved", "sidecar.canary.stopped",
]  # fmt: skip
ShadowAction = Literal["set_challenger", "remove_challenger", "shadow_on", "shadow_off", "follow_settings"]


class TargetTls(msgspec.Struct, frozen=True, omit_defaults=True):
    """TLS to a version as its own settings have it; what is empty is as in the settings for all."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""


class Target(msgspec.Struct, frozen=True):
    """Where a version answers: `url` as configured, `path` another path there or None; `tls` its own settings of it."""

    url: str
    path: str | None = None
    tls: TargetTls | None = None


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger that answers a share of the requests: the steps that it began with, and the one that it is at.

    `since` is when it began, `step_since` when its step did; `salt` decides which requests are its own.
    """

    version: str
    target: Target
    steps: tuple[CanaryStep, ...]
    since: float
    step_since: float
    salt: str
    step: int = 0

    @property
    def now(self) -> CanaryStep:
        """The step that it is at."""
        return self.steps[self.step]


class DeploymentState(msgspec.Struct, frozen=True, kw_only=True):
    """The stored truth about one deployment. Changed by transitions only; `generation` counts those of the champion."""

    deployment: str
    generation: int
    champion: str
    champion_target: Target
    champion_since: float
    previous: str | None = None
    previous_target: Target | None = None
    watch_until: float | None = None
    canary: Canary | None = None


class ChampionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The version that answers callers."""

    version: str
    url: str
    since: float


# Of a challenger, from its last copies: "unknown" before the first, "paused" while its breaker is open.
Health = Literal["unknown", "healthy", "failing", "unreachable", "paused"]


class ChallengerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A version in the shadow, with its bounds as they are in force. `headers` are the names of its own header lines.

    source: "settings" as the file has it, "registry" by an alias, "call" as a call has set it, "former" for a champion
    that goes on scoring.
    """

    version: str
    url: str
    fraction: float
    enabled: bool
    health: Health
    path: str | None = None
    timeout_s: float = 5.0
    max_inflight: int = 100
    copy_bytes: int = 4_194_304
    max_per_s: float = 0.0
    ramp_s: float = 10.0
    headers: tuple[str, ...] = ()
    source: Literal["settings", "registry", "call", "former"] = "settings"


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken from the registry's aliases: each one's version, and in sentences what is waited for."""

    model: str
    aliases: dict[str, str]
    waits: tuple[str, ...] = ()


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Someone else moved the alias of the champion: the registry's version, the one that serves here, seen since."""

    alias: str
    registry: str
    sidecar: str
    since: float


class RegistryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`reachable` is None where no registry is configured or nothing was asked yet; `since` is when that last changed.

    `age_s`: seconds since the registry itself last said where the model's aliases are; None where that is not known.
    `unwritten` says what the registry was not told yet of a transition, and why; it is told as soon as it answers.
    `set_aside`: how much of what was to be told nobody can read any more, so that it never will be.
    """

    reachable: bool | None
    diverged: bool
    since: float | None = None
    age_s: float | None = None
    says: str | None = None
    divergence: Divergence | None = None
    unwritten: str | None = None
    set_aside: int = 0


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment as `GET /v1/deployments/{d}` tells it. state: "watching" after a promotion, "canary" before one.

    `shadow_enabled` is the kill switch; `differences` says what the settings file has otherwise; `from_registry` is
    there where the registry names the versions; `unrecorded` says that the champion is not in the audit trail yet;
    `automation` has the machine's next steps by version, and what each waits for; `mode` is who promotes, `held` why
    the machine may not promote a version; `watch` is there while a new champion is watched, `canary` while one answers;
    `canary_steps` are those that the settings have for the next one.
    """

    name: str
    owner: str
    generation: int
    state: Literal["steady", "canary", "watching"]
    champion: ChampionStatus
    previous: str | None
    challengers: tuple[ChallengerStatus, ...]
    registry: RegistryStatus
    config_differs: bool
    watch_until: float | None
    lineage: dict[str, dict[str, str]]
    shadow_enabled: bool = True
    differences: tuple[str, ...] = ()
    from_registry: Following | None = None
    unrecorded: str | None = None
    automation: Mapping[str, str] = {}
    mode: Literal["manual", "auto"] = "manual"
    held: Mapping[str, str] = {}
    watch: WatchStatus | None = None
    canary: CanaryStatus | None = None
    canary_steps: tuple[CanaryStep, ...] = ()


class Transition(msgspec.Struct, frozen=True, kw_only=True, rename={"from_version": "from", "to_version": "to"}):
    """A promotion or rollback that was done, or with `dry_run` would have been.

    `unrecorded`: a rollback that serves already and waits for the store; what to do. `plan`: what a dry run shows.
    `weight`: the share of requests that the canary answers from now on; only where the call was about one.
    """

    deployment: str
    from_version: str
    to_version: str
    generation: int
    audit_seq: int | None
    evidence: str | None
    dry_run: bool = False
    unrecorded: str | msgspec.UnsetType = msgspec.UNSET
    plan: PlanShown | msgspec.UnsetType = msgspec.UNSET
    weight: float | msgspec.UnsetType = msgspec.UNSET


class FrozenReference(msgspec.Struct, frozen=True, kw_only=True):
    """What `recent` compares with from now on: live rows up to `at`, seconds since the epoch."""

    deployment: str
    at: float
    rows: int | None
    audit_seq: int


class ShadowChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a call changed about the shadow. `audit_seq` is None where everything was so already."""

    deployment: str
    version: str | None
    done: Literal["added", "changed", "removed", "enabled", "disabled", "unchanged"]
    audit_seq: int | None


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True, rename={"from_version": "from", "to_version": "to"}):
    """The champion's alias in the registry, pointed at the version that serves here.

    `written` is False while the registry has not taken it yet; `audit_seq` is None where nothing differed.
    """

    deployment: str
    alias: str
    from_version: str | None
    to_version: str
    written: bool
    audit_seq: int | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename={"from_version": "from", "to_version": "to"}):
    """One line of the trail. `hash` covers everything else, `prev` is the entry before's hash.

    `details` is canonical JSON text: gate table, software version; never feature values or tokens.
    """

    seq: int
    at: float
    actor: str
    action: str
    deployment: str
    from_version: str | None
    to_version: str | None
    reason: str
    evidence: str | None
    details: str
    prev: str
    hash: str


class AuditCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found. `head` is the newest entry's hash; `fault` says which entry is wrong and how."""

    ok: bool
    entries: int
    head: str
    fault: str | None = None


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Who has seen an alarm, when (seconds since the epoch), and why it may stand."""

    by: str
    at: float
    reason: str


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know. Open while `ended` is None.

    `explained_by` is the id of the alarm whose story this one belongs to; `acknowledgement` is None for one that was
    acknowledged before the reason was kept with it.
    """

    id: str
    deployment: str
    kind: AlarmKind
    severity: Severity
    says: str
    action: str
    since: float
    owner: str
    acknowledged: bool
    ended: float | None = None
    explained_by: str | None = None
    cause: CauseKind | None = None
    acknowledgement: Acknowledgement | None = None


class ChampionSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Which version answered at a moment, and who decided so, on what; `audit_seq` is that decision's entry.

    `canary`: it answered a share of the requests beside a champion.
    """

    version: str
    since: float
    until: float | None
    promoted_by: str
    evidence: str | None
    reason: str = ""
    audit_seq: int | None = None
    canary: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What each version said for one request; lists run over its rows.

    `champion`: who had decided that this version answers, and on what; None where the trail does not know.
    """

    deployment: str
    version: str
    at: float
    prediction: tuple[str | float | None, ...]
    challengers: tuple[tuple[str, tuple[str | float | None, ...]], ...]
    outcome: tuple[str | float | None, ...]
    champion: ChampionSpan | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it happens, for the live page, `GET /v1/events` and webhooks. `type` as in CONTRACT.md.

    `id` is the same for the same fact, also when it is told again; empty for what is told to listeners only.
    `data`: JSON members beside `deployment` and `says`, no feature values.
    """

    type: str
    deployment: str
    at: float
    says: str
    id: str = ""
    data: Mapping[str, object] = {}
