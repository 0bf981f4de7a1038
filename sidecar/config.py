"""Typed settings: with its parts (`config_events`, `config_gates`, …) the only place with defaults.

Frozen once parsed. A section's meaning is checked here, what sections mean for each other and for the files that they
name in `config_rules`; `config_file` adds file, line and nearest key. Reads no file, no environment and no clock.
Read by `app` (which hands each part its own piece), `control`, `decide` and `cli`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sidecar.address import Address, parse_listen
from sidecar.config_admin import Admin
from sidecar.config_comparison import Comparison, NoiseFloor, Quality
from sidecar.config_events import Audit, EventReceiver, Retrain
from sidecar.config_gates import Gates
from sidecar.config_promotion import Promotion
from sidecar.config_registry import FromRegistry, RegistrySettings
from sidecar.config_tls import ServerTls
from sidecar.config_values import (
    Bytes,
    BytesOrOff,
    Endpoint,
    File,
    HeaderName,
    JsonPath,
    Listen,
    Name,
    Path,
    Seconds,
    Section,
    Share,
    Url,
    Variable,
    Version,
)
from sidecar.config_versions import Challenger, Champion, ClientTls

_LOGGED_SHARE = 0.01
_TRACED_SHARE = 0.01


class Match(Section):
    """Which requests belong to a deployment."""

    path: Path


class Payload(Section):
    """Names where the payload has none, which output is monitored, and where plain JSON holds rows and predictions."""

    features: tuple[str, ...] = Field(default=(), strict=False)
    prediction: str | None = None
    row_path: JsonPath | None = None
    score_path: JsonPath | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.features)) < len(self.features):
            raise ValueError("features: a name comes twice")
        return self


class Ingest(Section):
    """How a payload logger beside the model server calls this model, and which version answers at its endpoints."""

    service: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    endpoints: dict[Annotated[str, Field(min_length=1, max_length=256)], Version] = Field(default_factory=dict)


class Sampling(Section):
    """How many feature rows per second are watched, and how many of the newest are kept with their values (none)."""

    rows_per_s: Annotated[int, Field(gt=0)] = 2000
    keep_rows: Annotated[int, Field(ge=0, le=100_000)] = 0
    keep_s: Seconds = 3600.0


class Drift(Section):
    """The watch on inputs and predictions; `false_alarm_days` is the budget: one false alarm per that many days.

    `exported_features`: how many have metrics of their own. `name_values`: whether values of the payload may stand on
    disk; the API names some of them in any case.
    """

    bucket_s: Seconds = 60.0
    false_alarm_days: Annotated[float, Field(gt=0)] = 30.0
    tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = 0.005
    exported_features: Annotated[int, Field(ge=0, le=5_000)] = 64
    name_values: bool = False


class Deployment(Section):
    """A named model behind the sidecar: either its champion and challengers, or the registry that names them.

    `sticky` names the header whose value decides which copies a fraction takes; unset: the request id. `upgrades`:
    whether a WebSocket or another upgrade is tunnelled to the champion; it is never copied.
    """

    name: Name
    owner: str = ""
    match: Match | None = None
    protocol: Literal["auto", "oip", "kserve-v1", "tfserving", "mlflow", "seldon", "json"] = "auto"
    champion: Champion | None = None
    challengers: tuple[Challenger, ...] = Field(default=(), strict=False)
    from_registry: FromRegistry | None = None
    sticky: HeaderName | None = None
    upgrades: bool = False
    baseline: str | None = None
    payload: Payload = Payload()
    ingest: Ingest = Ingest()
    sampling: Sampling = Sampling()
    drift: Drift = Drift()
    gates: Gates = Gates()
    promotion: Promotion = Promotion()
    retrain: Retrain = Retrain()
    score_tolerance: Annotated[float, Field(ge=0)] = 0.01
    comparison: Comparison = Comparison()
    noise_floor: NoiseFloor = NoiseFloor()
    quality: Quality = Quality()

    @property
    def path(self) -> str:
        """The inference route: as configured, else the Open Inference Protocol's for this name."""
        return self.match.path if self.match else f"/v2/models/{self.name}/infer"

    @property
    def model(self) -> str:
        """The registry's name of this model."""
        return self.name if self.from_registry is None else self.from_registry.model or self.name

    @property
    def service(self) -> str:
        """The payload logger's name of this model."""
        return self.name if self.ingest.service is None else self.ingest.service

    @property
    def versions(self) -> tuple[Champion, ...]:
        """Champion and challengers, as far as the settings name them."""
        return self.challengers if self.champion is None else (self.champion, *self.challengers)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.from_registry is not None:
            for key in ("champion", "challengers"):
                if getattr(self, key):
                    raise ValueError(f"{key}: comes from the registry's aliases (from_registry), give one of the two")
        elif self.champion is None:
            raise ValueError("champion: is required, or from_registry in its place")
        if self.protocol not in ("auto", "json") and (self.payload.row_path or self.payload.score_path):
            raise ValueError(f"payload.row_path and score_path: have no effect with protocol: {self.protocol}")
        versions = [version.version for version in self.versions]
        if len(set(versions)) < len(versions):
            raise ValueError(f"deployment {self.name}: champion and challengers need different versions")
        return self


class Limits(Section):
    """Sizes: above `body_bytes` 413; above `mirror_body_bytes` served, but neither mirrored nor sampled.

    `body_bytes_per_s`: the slowest a request body may come, 0 any; off by default, since `timeouts.body_s` bounds it
    already and a slow network is no attack. `memory_bytes`: a worker's resident memory at which it sheds, 0 from the
    cgroup's limit, or not at all where there is none.
    """

    body_bytes: Bytes = 104_857_600
    mirror_body_bytes: Bytes = 4_194_304
    header_bytes: Bytes = 65_536
    target_bytes: Bytes = 8_192
    headers: Annotated[int, Field(gt=0)] = 128
    connections: Annotated[int, Field(gt=0)] = 10_000
    mirror_bytes: Bytes = 16_777_216
    capture_bytes: Bytes = 16_777_216
    body_bytes_per_s: BytesOrOff = 0
    memory_bytes: BytesOrOff = 0


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


class AccessLog(Section):
    """Which requests are logged, by request id, and where; `path` unset: standard output."""

    # YAML reads a bare `off` as false.
    mode: Annotated[
        Literal["off", "sampled", "full"], BeforeValidator(lambda value: "off" if value is False else value)
    ] = "off"
    fraction: Share = _LOGGED_SHARE
    path: File | None = None

    @property
    def share(self) -> float:
        """The share of requests that is logged."""
        return {"off": 0.0, "sampled": self.fraction, "full": 1.0}[self.mode]

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.fraction != _LOGGED_SHARE and self.mode != "sampled":
            raise ValueError("fraction: has no effect without mode: sampled")
        if self.path is not None and self.mode == "off":
            raise ValueError("path: has no effect without mode: sampled or full")
        return self


class Telemetry(Section):
    """Spans by OTLP over HTTP, on where there is an endpoint; `headers_env` names a variable `name=value,…`.

    `sample`: the share of the requests without a caller's own trace that is traced.
    """

    otlp_endpoint: Endpoint | None = None
    headers_env: Variable | None = None
    sample: Share = _TRACED_SHARE

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.otlp_endpoint is None and (self.headers_env is not None or self.sample != _TRACED_SHARE):
            raise ValueError("otlp_endpoint: is required by headers_env and sample, which have no effect without it")
        return self


class Outcomes(Section):
    """How long an outcome may come before its request, and after it; how large decisions.db may get, 0 for any size."""

    early_s: Seconds = 300.0
    window_s: Seconds = 7_776_000.0
    retention_bytes: BytesOrOff = 10_737_418_240


class Settings(Section):
    """The whole file."""

    listen: Listen = "127.0.0.1:8080"
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    state_dir: Annotated[str, Field(min_length=1)] = "./sidecar-state"
    tls: ServerTls = ServerTls()
    upstream: Url | None = None
    upstream_upgrades: bool = False
    upstream_tls: ClientTls = ClientTls()
    admin: Admin = Admin()
    registry: RegistrySettings | None = None
    deployments: tuple[Deployment, ...] = Field(default=(), strict=False)
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    access_log: AccessLog = AccessLog()
    telemetry: Telemetry = Telemetry()
    outcomes: Outcomes = Outcomes()
    events: tuple[EventReceiver, ...] = Field(default=(), strict=False)
    audit: Audit = Audit()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [d.name for d in self.deployments]
        paths = [d.path for d in self.deployments]
        if len(set(names)) < len(names):
            raise ValueError("deployments: two have the same name")
        if len(set(paths)) < len(paths):
            raise ValueError("deployments: two match the same path")
        if len({d.service for d in self.deployments}) < len(names):
            raise ValueError("deployments: two take the same service's events (ingest.service)")
        if len({receiver.url for receiver in self.events}) < len(self.events):
            raise ValueError("events: two have the same url; give one entry with all its types")
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
