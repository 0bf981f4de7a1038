"""Who asks a registry, and which hosts and addresses may be asked.

Invariant: pure: it parses and decides, it resolves and connects nothing. A host is asked only if the registry's own
address or `Access.hosts` names it; an address on the local link (where clouds keep their credentials), a multicast,
reserved or unspecified one only if it is named itself. Secrets are in no text that it makes. Called by `fetching`
for every connection and by whoever opens a registry.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from registry_client.errors import InvalidName, RegistryError

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\]"
# Strict on purpose: what two parsers could read differently (user@host, backslashes, encoded hosts) is no address.
_AUTHORITY = rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?"
_URL = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY}(?P<path>/[^?#\\\s]*)?", re.ASCII)
_NAMED = re.compile(_AUTHORITY, re.ASCII)
_PORTS = {"http": 80, "https": 443}
# Forms of IPv6 that carry an IPv4 address on to a translator.
_TRANSLATED = ("64:ff9b::", "64:ff9b:1:")
# Beside those on the local link: AWS by IPv6, Alibaba, Oracle.
_CLOUDS = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})
_LIMIT_CHARACTERS = 2_048


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is reached.

    `token` goes as a bearer token, or `user` and `password` by HTTP Basic (which wins where both are given, as in
    MLflow's client). `timeout_s` is for one call; a download may take longer as long as bytes keep coming. `ca_file`
    replaces the system's certificate authorities. `hosts` (`name` or `name:port`) are further hosts that artifacts
    may come from; they are never shown the credentials.
    """

    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0
    ca_file: str | Path | None = None
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, text in (("token", self.token), ("user", self.user), ("password", self.password)):
            if text is not None and not (text.isprintable() and text):
                raise RegistryError(f"the registry's {name} is empty or holds a line break or control character")
        if self.token is not None and not self.token.isascii():
            raise RegistryError("the registry's token holds a character that is not ASCII")
        if self.user is not None and ":" in self.user:
            raise RegistryError("the registry's user holds a colon, which HTTP Basic cannot carry")
        if (self.user is None) != (self.password is None):
            raise RegistryError("the registry's user and password are given together or not at all")
        if not 0 < self.timeout_s <= 600:
            raise RegistryError(f"the registry's timeout_s must be above 0 and at most 600, not {self.timeout_s:g}")
        for host in self.hosts:
            _named(host)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Access:
        """What MLflow's own client would take from these variables: token, user, password, CA file.

        >>> Access.from_environment({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x"}).user
        'ann'
        """
        return cls(
            token=environment.get("MLFLOW_TRACKING_TOKEN") or None,
            user=environment.get("MLFLOW_TRACKING_USERNAME") or None,
            password=environment.get("MLFLOW_TRACKING_PASSWORD") or None,
            ca_file=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None,
        )

    @property
    def authorization(self) -> str | None:
        """The header's value; None where nobody in particular asks."""
        if self.user is not None:
            return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"
        return None if self.token is None else f"Bearer {self.token}"

    def without_secrets(self, text: str) -> str:
        """The text with our secrets blotted out: a server may repeat what it was sent."""
        carried = (self.authorization or "").partition(" ")[2]
        for secret in (self.token, self.password, carried):
            text = text.replace(secret, "…") if secret else text
        return text


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case, IPv6 without brackets) and port of a server."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def origin_and_path(url: str) -> tuple[Origin, str]:
    """The server and the path (`""` or from the first slash, as it stands) of an HTTP address; InvalidName.

    >>> origin, path = origin_and_path("https://Models.example.com/v1"); str(origin), path
    ('https://models.example.com', '/v1')
    """
    plain = len(url) <= _LIMIT_CHARACTERS and url.isascii() and url.isprintable()
    found = _URL.fullmatch(url) if plain else None
    if found is None:
        raise InvalidName(
            f"{_shown(url)!r} is no plain http:// or https:// address (host, port and path; no user, query or fragment)"
        )
    host = _host(found["host"])
    port = int(found["port"]) if found["port"] else _PORTS[found["scheme"]]
    if not 0 < port < 65_536:
        raise InvalidName(f"{_shown(url)!r} has no port that there is")
    return Origin(found["scheme"], host, port), found["path"] or ""


def may_be_asked(wanted: Origin, base: Origin, hosts: tuple[str, ...]) -> bool:
    """Whether the registry's own address or the further hosts name this server; never in clear where it is TLS."""
    if wanted == base:
        return True
    if base.scheme == "https" and wanted.scheme != "https":
        return False
    # A host without a port means the scheme's own: else any service of that machine could be asked.
    return any((wanted.host, wanted.port) == (host, port or _PORTS[wanted.scheme]) for host, port in map(_named, hosts))


def refused_address(host: str, address: str) -> str | None:
    """Why nothing is sent to an address that this host's name led to; None where it may be.

    Private and loopback addresses are fine here: their host was named by whoever configured the registry.

    >>> refused_address("mlflow", "169.254.169.254")
    'mlflow leads to 169.254.169.254, an address on the local link, and no registry lives there'
    >>> refused_address("mlflow", "10.1.2.3") is None
    True
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return f"{host} leads to {address!r}, which is no address"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if host == str(found):
        return None
    kind = _kind(found)
    return None if kind is None else f"{host} leads to {found}, {kind}, and no registry lives there"


def _kind(address: IPv4Address | IPv6Address) -> str | None:
    """What nothing is sent to, in words; None for an address like any other."""
    translated = isinstance(address, IPv6Address) and (
        address.sixtofour is not None or address.teredo is not None or str(address).startswith(_TRANSLATED)
    )
    kinds = (
        (address.is_link_local, "an address on the local link"),
        (address.is_multicast, "a multicast address"),
        (address.is_unspecified, "no address of anyone"),
        (translated, "an address that is translated to another"),
        (str(address) in _CLOUDS, "where a cloud keeps its machines' credentials"),
        (address.is_reserved and not address.is_loopback, "a reserved address"),
    )
    return next((words for applies, words in kinds if applies), None)


def _named(entry: str) -> tuple[str, int | None]:
    found = _NAMED.fullmatch(entry)
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65_536):
        raise RegistryError(f"{_shown(entry)!r} in the registry's hosts is neither a host nor host:port")
    return _host(found["host"]), int(found["port"]) if found["port"] else None


def _host(text: str) -> str:
    """Lower case; IPv6 as it is written shortest. InvalidName for numbers that only look like an address."""
    host = text.lower()
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError as error:
            raise InvalidName(f"{text!r} is no IPv6 address") from error
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        # inet_aton reads 2130706433, 0x7f.1 and 127.1 as 127.0.0.1; here an address has four plain numbers.
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise InvalidName(f"{text!r} is no host name and no IPv4 address of four plain numbers") from error
    return host


def _shown(address: str) -> str:
    """The beginning of an address, without what may be a password in it."""
    head, at, tail = address.rpartition("@")
    return (f"{head.partition('//')[0]}//…@{tail}" if at else address)[:200]
