"""Where something listens: HOST:PORT, unix:/path, or an http or https URL. Parsed once, at the settings' border."""

from __future__ import annotations

import re

import msgspec

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")
_TLS_UNIX = re.compile(r"(https\+unix|unix\+https|https://unix|unixs|unix\+tls)[:/]")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Address(msgspec.Struct, frozen=True):
    """A TCP host and port, or a Unix socket's path (then host is empty and port 0). `tls`: spoken to by https."""

    host: str
    port: int
    unix: str = ""
    tls: bool = False

    @property
    def loopback(self) -> bool:
        """True where only this machine can connect."""
        return bool(self.unix) or self.host in ("127.0.0.1", "localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        if self.unix:
            return f"unix:{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _tcp(host: str, port_text: str, text: str, lowest: int, *, tls: bool = False) -> Address:
    port = int(port_text)
    if not lowest <= port <= 65535:
        raise ValueError(f"{text!r}: a port is a number from {lowest} to 65535")
    return Address(host=host.strip("[]"), port=port, tls=tls)


def parse_listen(text: str) -> Address:
    """Reads `HOST:PORT` or `unix:/path`; port 0 asks the system for a free one. Raises ValueError with a sentence."""
    if text.startswith("unix:"):
        return _unix(text)
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither HOST:PORT nor unix:/path")
    return _tcp(match[1], match[2], text, 0)


def parse_url(text: str) -> Address:
    """Reads `http://host[:port]`, `https://host[:port]` or `unix:/path`. A path belongs in the key `path`.

    Raises ValueError.
    """
    if text.startswith("unix:"):
        return _unix(text)
    if _TLS_UNIX.match(text):
        raise ValueError(f"{text!r}: TLS is not spoken over a Unix socket; write unix:/path, or https://HOST:PORT")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is neither http://HOST:PORT, https://HOST:PORT nor unix:/path (another path there is the key"
            " `path`)"
        )
    return _tcp(match[2], match[3] or _DEFAULT_PORTS[match[1]], text, 1, tls=match[1] == "https")


def _unix(text: str) -> Address:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path or len(path.encode()) > 100:
        raise ValueError(f"{text!r}: a Unix socket is unix:/absolute/path of at most 100 bytes")
    return Address(host="", port=0, unix=path)
