"""The settings of the admin listener: who may call it, from where, and where a call may send copies.

Keeps: secrets are named here by their variable or file and never stand in the settings; without tokens only loopback is
listened on. Part of `config`; reads no file and no environment.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sidecar.address import parse_listen
from sidecar.config_values import Authority, Endpoint, File, Host, Listen, Name, Section


class Token(Section):
    """A person or program that may use the admin API; the secret itself is read from the environment, or from a file.

    A file is read again at each reload, so that a token can be changed without a restart.
    """

    name: Name
    role: Literal["viewer", "reporter", "operator", "admin"]
    token_env: Annotated[str, Field(min_length=1)] | None = None
    token_file: File | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.token_env is None) == (self.token_file is None):
            raise ValueError("token_env: give the variable that holds the secret, or token_file in its place")
        return self


class Oidc(Section):
    """An OpenID Connect provider whose signed tokens are taken as well.

    `keys_url`: its set of public keys, fetched anew every few minutes. `roles`: which of the values of the claim
    `role_claim` (a path with dots) stands for which role; who has none of them may not call.
    """

    issuer: Annotated[str, Field(min_length=1, max_length=1_000)]
    audience: Annotated[str, Field(min_length=1, max_length=1_000)]
    keys_url: Endpoint
    ca_file: File | None = None
    name_claim: Annotated[str, Field(min_length=1, max_length=128)] = "sub"
    role_claim: Annotated[str, Field(min_length=1, max_length=128)] = "roles"
    roles: Annotated[dict[str, Literal["viewer", "reporter", "operator", "admin"]], Field(min_length=1)]

    @model_validator(mode="after")
    def _believable(self) -> Self:
        loopback = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)", self.keys_url)
        if not self.keys_url.startswith("https:") and loopback is None:
            raise ValueError("keys_url: begins with https://, or anybody on the way decides who may call")
        if self.ca_file is not None and not self.keys_url.startswith("https:"):
            raise ValueError("ca_file: has no effect, keys_url does not begin with https://")
        return self


class Admin(Section):
    """The admin listener. Without tokens it is open, and then only loopback is accepted.

    `hosts`: further names that a Host header may have, besides `listen`'s own and loopback's. `challenger_hosts`: where
    a challenger that is set by a call may be; empty: anywhere but where cloud platforms keep credentials.
    """

    listen: Listen = "127.0.0.1:8081"
    hosts: tuple[Host, ...] = Field(default=(), strict=False)
    tokens: tuple[Token, ...] = Field(default=(), strict=False)
    metrics: Literal["open", "token"] = "open"
    oidc: Oidc | None = None
    challenger_hosts: tuple[Authority, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        open_to_all = not self.tokens and self.oidc is None
        if open_to_all and not parse_listen(self.listen).loopback:
            raise ValueError(f"admin.listen {self.listen} is reachable from other machines: give admin.tokens as well")
        if self.metrics == "token" and open_to_all:
            raise ValueError("admin.metrics: token has no effect without admin.tokens")
        names = [token.name for token in self.tokens]
        if len(set(names)) < len(names):
            raise ValueError("admin.tokens: two tokens have the same name; the audit trail could not tell them apart")
        return self
