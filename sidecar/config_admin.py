"""The settings of the admin listener: who may call it, from where, and where a call may send copies.

Keeps: secrets are named here by their variable or file and never stand in the settings; where nobody has to say who
they are only loopback is listened on. Part of `config`; reads no file and no environment.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sidecar.address import parse_listen
from sidecar.config_tls import AdminTls
from sidecar.config_values import Authority, Endpoint, File, Host, Listen, Name, Section

Role = Literal["viewer", "reporter", "operator", "admin"]
# What a certificate says of its holder, compared to the letter.
_Told = Annotated[str, Field(min_length=1, max_length=1_000)]
_KINDS = ("uri", "dns", "email", "common_name")


class Token(Section):
    """A person or program that may use the admin API; the secret itself is read from the environment, or from a file.

    A file is read again at each reload, so that a token can be changed without a restart.
    """

    name: Name
    role: Role
    token_env: Annotated[str, Field(min_length=1)] | None = None
    token_file: File | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.token_env is None) == (self.token_file is None):
            raise ValueError("token_env: give the variable that holds the secret, or token_file in its place")
        return self


class ClientCertificate(Section):
    """A person or program that may use the admin API by a certificate of `admin.tls.client_ca_file`.

    It is told by one of the names in the certificate: a `uri`, `dns` or `email` of its subjectAltName, or the
    `common_name` of its subject, where that has just one.
    """

    name: Name
    role: Role
    uri: _Told | None = None
    dns: _Told | None = None
    email: _Told | None = None
    common_name: _Told | None = None

    @property
    def told_by(self) -> tuple[str, str]:
        """The kind of name and the name that its certificate must have."""
        return next((kind, value) for kind in _KINDS if (value := getattr(self, kind)) is not None)

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError(f"uri: give just one of {', '.join(_KINDS)}, by which its certificate is told")
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
    roles: Annotated[dict[str, Role], Field(min_length=1)]

    @model_validator(mode="after")
    def _believable(self) -> Self:
        loopback = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)", self.keys_url)
        if not self.keys_url.startswith("https:") and loopback is None:
            raise ValueError("keys_url: begins with https://, or anybody on the way decides who may call")
        if self.ca_file is not None and not self.keys_url.startswith("https:"):
            raise ValueError("ca_file: has no effect, keys_url does not begin with https://")
        return self


class Admin(Section):
    """The admin listener. Where neither tokens nor certificates nor a provider say who calls, it is open, and then only
    loopback is accepted.

    `hosts`: further names that a Host header may have, besides `listen`'s own and loopback's. `challenger_hosts`: where
    a challenger that is set by a call may be; empty: anywhere but where cloud platforms keep credentials.
    """

    listen: Listen = "127.0.0.1:8081"
    hosts: tuple[Host, ...] = Field(default=(), strict=False)
    tls: AdminTls = AdminTls()
    tokens: tuple[Token, ...] = Field(default=(), strict=False)
    clients: tuple[ClientCertificate, ...] = Field(default=(), strict=False)
    metrics: Literal["open", "token"] = "open"
    oidc: Oidc | None = None
    challenger_hosts: tuple[Authority, ...] = Field(default=(), strict=False)

    @property
    def closed(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.tokens or self.clients) or self.oidc is not None

    @property
    def people(self) -> dict[str, Role]:
        """Who is named here, by whatever they show."""
        return {**{each.name: each.role for each in self.tokens}, **{each.name: each.role for each in self.clients}}

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.closed and not parse_listen(self.listen).loopback:
            raise ValueError(
                f"admin.listen {self.listen} is reachable from other machines: give admin.tokens (or clients) as well"
            )
        if self.metrics == "token" and not self.closed:
            raise ValueError("admin.metrics: token has no effect without admin.tokens")
        tokens, clients = [token.name for token in self.tokens], [client.name for client in self.clients]
        for kind, names in (("tokens", tokens), ("clients", clients)):
            if len(set(names)) < len(names):
                raise ValueError(
                    f"admin.{kind}: two {kind} have the same name; the audit trail could not tell them apart"
                )
        return self

    @model_validator(mode="after")
    def _believable(self) -> Self:
        if self.clients and self.tls.client_ca_file is None:
            raise ValueError("admin.clients: has no effect without admin.tls.client_ca_file, which their issuer is in")
        told = [client.told_by for client in self.clients]
        if len(set(told)) < len(told):
            raise ValueError("admin.clients: two are told by the same name of a certificate")
        if any(self.people[token.name] != token.role for token in self.tokens):
            raise ValueError("admin.clients: who has a token as well, under the same name, has the same role")
        return self
