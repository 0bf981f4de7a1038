"""The settings of the model registry, and of a deployment that takes its versions from there.

Keeps: a version's name, which whoever may write to the registry chooses, never decides which host is called: it fills
one part of an address whose rest is fixed here. Part of `config`; reads no file, no environment and no registry.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sidecar.address import Address, parse_url
from sidecar.config_values import Authority, File, Name, Path, Seconds, Section, Url, Variable
from sidecar.config_versions import Challenger, Champion, ShadowBounds, VersionTls

PLACEHOLDER = "{version}"
MLFLOW = "mlflow+"

_MLFLOW_URI = re.compile(
    r"mlflow\+https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?", re.ASCII
)
_MODEL = re.compile(r"[^/:\\%\x00-\x1f\x7f]{1,256}")
# Stands for any version: what is an address with this one is an address with each that has no dots.
_SOME = "a"


def _uri(text: str) -> str:
    if not text.startswith(("file:", MLFLOW)) or text == "file:":
        raise ValueError("must be file:FOLDER, or begin with mlflow+http:// or mlflow+https://")
    if text.startswith(MLFLOW) and not _MLFLOW_URI.fullmatch(text):
        raise ValueError(
            "is no address such as mlflow+http://mlflow:5000 or mlflow+https://HOST:PORT/PREFIX (secrets go in"
            " token_env, or in user_env and password_env)"
        )
    return text


def _model(text: str) -> str:
    if not _MODEL.fullmatch(text) or not text.isprintable() or text.strip() != text or text in (".", ".."):
        raise ValueError("a model's name has up to 256 printable characters, without / : \\ % and outer spaces")
    return text


def _url_template(text: str) -> str:
    address = parse_url(_path_template(text).replace(PLACEHOLDER, _SOME))
    if address.host == _SOME or address.host.endswith(f".{_SOME}"):
        raise ValueError(f"{text!r}: the version alone would decide which host is called; put a fixed part beside it")
    return text


def _path_template(text: str) -> str:
    plain = text.replace(PLACEHOLDER, _SOME)
    if "{" in plain or "}" in plain:
        raise ValueError(f"{text!r}: the only thing in braces is {PLACEHOLDER}")
    return text


RegistryUri = Annotated[str, AfterValidator(_uri)]
ModelName = Annotated[str, AfterValidator(_model)]
UrlTemplate = Annotated[str, AfterValidator(_url_template)]
PathTemplate = Annotated[Path, AfterValidator(_path_template)]


class RegistrySettings(Section):
    """The model registry: versions, aliases, baselines and lineage come from it, decisions are written back to it.

    `hosts`: further hosts that artifacts may come from. `max_age_s`: what was last known good longer ago than this is
    shown and served on, but nothing is promoted on it.
    """

    uri: RegistryUri
    token_env: Variable | None = None
    user_env: Variable | None = None
    password_env: Variable | None = None
    timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 5.0
    poll_s: Seconds = 10.0
    max_age_s: Seconds = 86_400.0
    hosts: tuple[Authority, ...] = Field(default=(), strict=False)
    ca_file: File | None = None
    webhook_secret_env: Variable | None = None

    @property
    def is_folder(self) -> bool:
        """Whether the registry is a folder, not a server."""
        return not self.uri.startswith(MLFLOW)

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env: belongs together with password_env, give both or neither")
        if self.token_env is not None and self.user_env is not None:
            raise ValueError("token_env: give a token, or a user and a password, not both")
        if self.is_folder:
            for name in ("token_env", "user_env", "hosts", "ca_file"):
                if getattr(self, name):
                    raise ValueError(f"{name}: has no effect, the registry is a folder")
        elif self.ca_file is not None and not self.uri.startswith(f"{MLFLOW}https:"):
            raise ValueError("ca_file: has no effect, the uri does not begin with mlflow+https://")
        return self


class FromRegistry(Section):
    """Champion and challengers by the aliases of a registered model.

    Exactly one of `url` (where a version answers, as a template) and `managed` (its ONNX artifact is fetched, checked
    and served by this sidecar). `shadow`: the bounds of every challenger.
    """

    model: ModelName | None = None
    champion: Name = "champion"
    challengers: tuple[Name, ...] = Field(default=("challenger",), strict=False)
    url: UrlTemplate | None = None
    path: PathTemplate | None = None
    tls: VersionTls = VersionTls()
    managed: bool = False
    shadow: ShadowBounds = ShadowBounds()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.managed and self.url is not None:
            raise ValueError("url: has no effect with managed: true, give one of the two")
        if self.url is None and not self.managed:
            raise ValueError(f"url: is required, such as http://fraud-{PLACEHOLDER}:80, or managed: true in its place")
        if self.managed:
            for name in ("path", "tls"):
                if getattr(self, name) not in (None, VersionTls()):
                    raise ValueError(f"{name}: has no effect with managed: true")
        elif PLACEHOLDER not in f"{self.url}{self.path or ''}":
            raise ValueError(f"url: must hold {PLACEHOLDER}, or every version would answer at the same place")
        if self.tls != VersionTls() and not self.address().tls:
            raise ValueError("tls: has no effect, the url does not begin with https://")
        names = (self.champion, *self.challengers)
        if len(set(names)) < len(names):
            raise ValueError("challengers: each alias once, and another one than the champion's")
        return self

    def address(self, version: str = _SOME) -> Address:
        """The address that the template means for a version. Raises ValueError where the version does not fit."""
        return parse_url(self._filled(version))

    def placed(self, version: str) -> Champion:
        """A version where the template says. Raises ValueError with a sentence where it does not fit in there."""
        path = None if self.path is None else self.path.replace(PLACEHOLDER, version)
        document = {"version": version, "url": self._filled(version), "path": path, "tls": self.tls}
        try:
            return Champion.model_validate(document)
        except ValidationError as fault:
            raise ValueError(str(fault.errors()[0]["msg"]).removeprefix("Value error, ")) from None

    def challenger(self, place: Champion) -> Challenger:
        """A version at its place, with the bounds of every challenger."""
        at = {name: getattr(place, name) for name in Champion.model_fields}
        bounds = {name: getattr(self.shadow, name) for name in ShadowBounds.model_fields}
        return Challenger.model_validate(at | bounds)

    def _filled(self, version: str) -> Url:
        if self.url is None:
            raise ValueError("this deployment's versions are managed: they have no url of their own")
        if not self.url.startswith("unix:") and PLACEHOLDER in self.url and "." in version:
            raise ValueError(f"{version!r}: a version in a host's name has no dots")
        return self.url.replace(PLACEHOLDER, version)
