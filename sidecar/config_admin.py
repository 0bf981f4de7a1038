"""The settings of the admin listener: who may call it, from where, and where a call may send copies.

Keeps: secrets are named here by their variable or file and never stand in the settings; without tokens only loopback is
listened on. Part of `config`; reads no file and no environment.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sidecar.address import parse_listen
from sidecar.config_values import Authority, File, Host, Listen, Name, Section


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


class Admin(Section):
    """The admin listener. Without tokens it is open, and then only loopback is accepted.

    `hosts`: further names that a Host header may have, besides `listen`'s own and loopback's. `challenger_hosts`: where
    a challenger that is set by a call may be; empty: anywhere but where cloud platforms keep credentials.
    """

    listen: Listen = "127.0.0.1:8081"
    hosts: tuple[Host, ...] = Field(default=(), strict=False)
    tokens: tuple[Token, ...] = Field(default=(), strict=False)
    metrics: Literal["open", "token"] = "open"
    challenger_hosts: tuple[Authority, ...] = Field(default=(), strict=False)

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
