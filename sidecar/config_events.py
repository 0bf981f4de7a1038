"""The settings of what is told to others: who gets events, when retraining is recommended, which key signs the trail.

Keeps: secrets are named here by their variable or file and never stand in the settings. Part of `config`; reads no
file and no environment.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sidecar.config_values import File, Name, Seconds, Section, Variable
from sidecar.standing import EventType

_RECEIVER = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[!$&'()*+,;=:@%A-Za-z0-9._~/-]*)?"
    r"(\?[!$&'()*+,;=:@%A-Za-z0-9._~/?-]*)?"
)


def _receiver(text: str) -> str:
    if len(text) > 2_000 or not _RECEIVER.fullmatch(text):
        # Never repeated: some services put a secret into the path.
        raise ValueError("is no address such as https://hooks.example.com/sidecar")
    return text


class EventReceiver(Section):
    """Where events are posted, as CloudEvents. `secret_env`: signed with this secret; `types` empty: all of them."""

    url: Annotated[str, AfterValidator(_receiver)]
    secret_env: Variable | None = None
    types: tuple[EventType, ...] = Field(default=(), strict=False)
    timeout_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0
    ca_file: File | None = None

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.ca_file is not None and not self.url.startswith("https:"):
            raise ValueError("ca_file: has no effect, the url does not begin with https://")
        if len(set(self.types)) < len(self.types):
            raise ValueError("types: one comes twice")
        return self


class Retrain(Section):
    """When `sidecar.retrain.recommended` is told: each of these must hold; `off` by `per_month: 0`.

    `after_s`: how long the alarm must have stood. `severity`: at least this grave. `cooldown_s`: since the last one
    was taken. `acknowledged`: whether a person must have acknowledged the alarm first. `window_s`: how far back the
    data to train on reaches at most.
    """

    after_s: Annotated[float, Field(ge=0.0, le=1e9)] = 3_600.0
    severity: Literal["info", "warning", "critical"] = "critical"
    cooldown_s: Annotated[float, Field(ge=0.0, le=1e9)] = 604_800.0
    per_month: Annotated[int, Field(ge=0, le=1_000)] = 2
    acknowledged: bool = False
    window_s: Seconds = 7_776_000.0


class AuditKey(Section):
    """A secret that signs the head of the audit trail, by its name; read from a variable or from a file."""

    name: Name
    key_env: Variable | None = None
    key_file: File | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.key_env is None) == (self.key_file is None):
            raise ValueError("key_env: give the variable that holds the key, or key_file in its place")
        return self


class Audit(Section):
    """The trail's keys: the first one signs, all of them are taken when a signature is checked."""

    keys: tuple[AuditKey, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError("keys: two have the same name; a signature could not say which one made it")
        return self
