"""The versions of a deployment in the settings: where each answers, and how much of the shadow a challenger may take.

Part of `config`; a challenger that is set by a call is checked by the same types. Reads no file.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from sidecar.address import parse_url
from sidecar.config_values import Bytes, File, Host, OwnHeaders, Path, Seconds, Section, Share, Url, Version

_RAMP_S = 10.0


class ClientTls(Section):
    """TLS to a model server, always verified; by the system's authorities where no `ca_file` is given."""

    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file: belongs together with key_file, give both or neither")
        return self


class VersionTls(ClientTls):
    """TLS to one version. What is left out here is as in `upstream_tls`."""

    server_name: Host | None = None


class Champion(Section):
    """The version whose answers the caller gets."""

    version: Version
    url: Url
    path: Path | None = None
    tls: VersionTls = VersionTls()

    @model_validator(mode="after")
    def _tls_is_spoken(self) -> Self:
        if self.tls != VersionTls() and not parse_url(self.url).tls:
            raise ValueError("tls: has no effect, the url does not begin with https://")
        return self


class Breaker(Section):
    """When a challenger is paused: after `failures` in a row, for `open_s`, doubled each time up to `max_open_s`."""

    failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    open_s: Seconds = 5.0
    max_open_s: Seconds = 60.0

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.max_open_s < self.open_s:
            raise ValueError("max_open_s: is below open_s, but a pause only grows")
        return self


class ShadowBounds(Section):
    """The bounds on a challenger's copies in each worker.

    `copy_bytes` unset: a quarter of limits.mirror_bytes, and at least limits.mirror_body_bytes. `max_per_s` 0: no
    ceiling; it is reached over `ramp_s`. `headers` take the place of the caller's of the same name.
    """

    fraction: Share = 1.0
    timeout_s: Seconds = 5.0
    max_inflight: Annotated[int, Field(gt=0, le=100_000)] = 100
    copy_bytes: Bytes | None = None
    max_per_s: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    ramp_s: Annotated[float, Field(ge=0, le=1e6)] = _RAMP_S
    breaker: Breaker = Breaker()
    headers: OwnHeaders = Field(default={})

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.ramp_s != _RAMP_S and not self.max_per_s:
            raise ValueError("ramp_s: has no effect without max_per_s")
        return self


# In this order, so that a version's address stands before its bounds.
class Challenger(ShadowBounds, Champion):
    """A version that scores copies in the shadow, and the bounds on its copies in each worker."""
