"""Typed settings: the only place with defaults, and the only place where a setting's meaning is checked.

Frozen once parsed. Unknown keys are refused here; `config_file` adds file, line and nearest key. Reads no file,
no environment and no clock. Read by `app` (which hands each part its own piece), `decide` and `cli`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sidecar.address import Address, parse_listen
from sidecar.config_values import Bytes, Host, Listen, Name, Path, Quantile, Seconds, Share, Url, Version


class Section(BaseModel):
    """A part of the file: frozen, strict; no unknown keys, and no infinities, which would switch a check off unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Token(Section):
    """A person or program that may use the admin API; the secret itself is read from the environment."""

    name: Name
    role: Literal["viewer", "reporter", "operator", "admin"]
    token_env: Annotated[str, Field(min_length=1)]


class Admin(Section):
    """The admin listener. Without tokens it is open, and then only loopback is accepted.

    `hosts`: further names that a Host header may have, besides `listen`'s own and loopback's.
    """

    listen: Listen = "127.0.0.1:8081"
    hosts: tuple[Host, ...] = Field(default=(), strict=False)
    tokens: tuple[Token, ...] = Field(default=(), strict=False)
    metrics: Literal["open", "token"] = "open"

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.tokens and not parse_listen(self.listen).loopback:
            raise ValueError(f"admin.listen {self.listen} is reachable from other machines: give admin.tokens as well")
        if self.metrics == "token" and not self.tokens:
            raise ValueError("admin.metrics: token has no effect without admin.tokens")
        names = [token.name for token in self.tokens]
        if len(set(names)) < len(names):
            raise ValueError("admin.tokens: two tokens have the same name; the audit trail could not tell them apart")
        return self


class RegistrySettings(Section):
    """The model registry that baselines come from and that aliases are written back to."""

    uri: Annotated[str, Field(pattern=r"^file:.+")]


class Match(Section):
    """Which requests belong to a deployment."""

    path: Path


class Champion(Section):
    """The version whose answers the caller gets."""

    version: Version
    url: Url
    path: Path | None = None


class Challenger(Section):
    """A version that scores copies in the shadow."""

    version: Version
    url: Url
    path: Path | None = None
    fraction: Share = 1.0
    timeout_s: Seconds = 5.0
    max_inflight: Annotated[int, Field(gt=0, le=100_000)] = 100


class Payload(Section):
    """Names where the payload has none, and which output is monitored."""

    features: tuple[str, ...] = Field(default=(), strict=False)
    prediction: str | None = None


class Sampling(Section):
    """How many feature rows per second are watched."""

    rows_per_s: Annotated[int, Field(gt=0)] = 2000


class Drift(Section):
    """The watch on inputs and predictions; `false_alarm_days` is the budget: one false alarm per that many days."""

    bucket_s: Seconds = 60.0
    false_alarm_days: Annotated[float, Field(gt=0)] = 30.0
    tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = 0.005


class PairsGate(Section):
    """Joined champion and challenger rows."""

    min: Annotated[int, Field(ge=1)] = 5000


class DurationGate(Section):
    """Mirrored time; the default is a full weekly cycle."""

    min_hours: Annotated[float, Field(ge=0)] = 168.0


class CompletenessGate(Section):
    """Mirrored share of the copies that were due."""

    min: Share = 0.99


class ErrorsGate(Section):
    """The challenger's failure share above the champion's."""

    max_increase: Share = 0.001


class LatencyGate(Section):
    """Challenger against champion on the same requests."""

    quantile: Quantile = 0.99
    max_ratio: Annotated[float, Field(gt=0)] = 1.5


class AgreementGate(Section):
    """Agreement may block a promotion, it never earns one."""

    min: Share = 0.90


class PredictionGate(Section):
    """PSI of the challenger's predictions against the champion's."""

    max_psi: Annotated[float, Field(gt=0)] = 0.1


class OutcomeGate(Section):
    """Quality on the same rows with the same outcome, by a test that stays valid under continuous looking."""

    metric: Literal["accuracy"] = "accuracy"
    test: Literal["noninferior", "superior"] = "noninferior"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.005
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_matched: Annotated[int, Field(ge=1)] = 500


class InputsGate(Section):
    """No open data.broken alarm."""


class LineageGate(Section):
    """Registry fields that must be there."""

    require: tuple[str, ...] = Field(default=(), strict=False)


def _none_asked_for(count: int) -> int:
    if count:
        raise ValueError("approvals are not recorded by this version, so asking for some would block for ever: only 0")
    return count


class ApprovalsGate(Section):
    """Distinct people, none of them the promoter."""

    min: Annotated[int, AfterValidator(_none_asked_for)] = 0
    valid_s: Seconds = 86_400.0


def _off(value: object) -> object:
    if value is False or value == "off":  # by identity: `pairs: 0` must not switch a gate off
        return False
    raise ValueError("must be off")


# YAML reads a bare `off` as false; both switch a gate off.
Off = Annotated[Literal[False], BeforeValidator(_off)]


class Gates(Section):
    """Gate -> policy, or `off`."""

    pairs: PairsGate | Off = PairsGate()
    duration: DurationGate | Off = DurationGate()
    completeness: CompletenessGate | Off = CompletenessGate()
    errors: ErrorsGate | Off = ErrorsGate()
    latency: LatencyGate | Off = LatencyGate()
    agreement: AgreementGate | Off = AgreementGate()
    prediction: PredictionGate | Off = PredictionGate()
    outcome: OutcomeGate | Off = OutcomeGate()
    inputs: InputsGate | Off = InputsGate()
    lineage: LineageGate | Off = LineageGate()
    approvals: ApprovalsGate | Off = ApprovalsGate()


class Promotion(Section):
    """Who moves the pointer, and how long the new champion is watched."""

    mode: Literal["manual"] = "manual"
    watch_s: Seconds = 1800.0


class Deployment(Section):
    """A named model behind the sidecar."""

    name: Name
    owner: str = ""
    match: Match | None = None
    protocol: Literal["auto", "oip"] = "auto"
    champion: Champion
    challengers: tuple[Challenger, ...] = Field(default=(), strict=False)
    baseline: str | None = None
    payload: Payload = Payload()
    sampling: Sampling = Sampling()
    drift: Drift = Drift()
    gates: Gates = Gates()
    promotion: Promotion = Promotion()
    score_tolerance: Annotated[float, Field(ge=0)] = 0.01

    @property
    def path(self) -> str:
        """The inference route: as configured, else the Open Inference Protocol's for this name."""
        return self.match.path if self.match else f"/v2/models/{self.name}/infer"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        versions = [self.champion.version, *(c.version for c in self.challengers)]
        if len(set(versions)) < len(versions):
            raise ValueError(f"deployment {self.name}: champion and challengers need different versions")
        return self


class Limits(Section):
    """Sizes: above `body_bytes` 413; above `mirror_body_bytes` served, but neither mirrored nor sampled."""

    body_bytes: Bytes = 104_857_600
    mirror_body_bytes: Bytes = 4_194_304
    header_bytes: Bytes = 65_536
    target_bytes: Bytes = 8_192
    headers: Annotated[int, Field(gt=0)] = 128
    connections: Annotated[int, Field(gt=0)] = 10_000
    mirror_bytes: Bytes = 16_777_216
    capture_bytes: Bytes = 16_777_216


class Timeouts(Section):
    """Seconds; headers and body are absolute from their first byte."""

    headers_s: Seconds = 10.0
    body_s: Seconds = 60.0
    connect_s: Seconds = 2.0
    answer_s: Seconds = 60.0
    between_bytes_s: Seconds = 30.0
    idle_client_s: Seconds = 75.0
    idle_upstream_s: Seconds = 4.0
    drain_s: Seconds = 25.0


class Outcomes(Section):
    """How long an outcome may come before its request, and after it."""

    early_s: Seconds = 300.0
    window_s: Seconds = 7_776_000.0


class Settings(Section):
    """The whole file."""

    listen: Listen = "127.0.0.1:8080"
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    state_dir: Annotated[str, Field(min_length=1)] = "./sidecar-state"
    upstream: Url | None = None
    admin: Admin = Admin()
    registry: RegistrySettings | None = None
    deployments: tuple[Deployment, ...] = Field(default=(), strict=False)
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    outcomes: Outcomes = Outcomes()
    events: tuple[()] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [d.name for d in self.deployments]
        paths = [d.path for d in self.deployments]
        if len(set(names)) < len(names):
            raise ValueError("deployments: two have the same name")
        if len(set(paths)) < len(paths):
            raise ValueError("deployments: two match the same path")
        if not self.deployments and self.upstream is None:
            raise ValueError("nothing to serve: give deployments or an upstream")
        if self.registry is None and any(d.baseline == "registry" for d in self.deployments):
            raise ValueError("baseline: registry needs the key registry (uri: file:./folder)")
        if self.limits.mirror_body_bytes > self.limits.mirror_bytes:
            raise ValueError("limits.mirror_body_bytes above limits.mirror_bytes would never be reached")
        return self

    @property
    def admin_address(self) -> Address:
        """The admin API's address."""
        return parse_listen(self.admin.listen)
