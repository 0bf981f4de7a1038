"""Who the certificate of a caller says is calling: one that the listener has verified, held against `admin.clients`.

Keeps: only names that the authority has put into a verified certificate count, each to the letter; a subject with
several common names has none; a certificate that has expired since its connection began is nobody's.
Does not: verify signatures (OpenSSL does, at the handshake), read files. Called by: `auth`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.admin.caller import Caller
from sidecar.config_admin import ClientCertificate

# As OpenSSL verified it and `SSLObject.getpeercert()` tells it; empty or None where there is none.
Shown = Mapping[str, Any] | None
_KINDS = {"URI": "uri", "DNS": "dns", "email": "email"}


class Certified:
    """The people and programs that are told by certificates."""

    def __init__(self, clients: Sequence[ClientCertificate]) -> None:
        self._callers = {client.told_by: Caller(client.name, client.role) for client in clients}

    def __bool__(self) -> bool:
        return bool(self._callers)

    def caller(self, shown: Shown, now: float) -> Caller | None:
        """Whose certificate it is at `now`, seconds since the epoch; the first of the settings' if it is of several."""
        if not shown or _expires(shown) <= now:
            return None
        names = set(_names(shown))
        return next((caller for told_by, caller in self._callers.items() if told_by in names), None)


def _names(shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, value in shown.get("subjectAltName", ()):
        if kind in _KINDS:
            yield _KINDS[kind], value
    common = [value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"]
    if len(common) == 1:
        yield "common_name", common[0]


def _expires(shown: Mapping[str, Any]) -> float:
    """Seconds since the epoch; 0 where it does not say so, which no verified certificate leaves out."""
    try:
        return float(ssl.cert_time_to_seconds(shown["notAfter"]))
    except (KeyError, ValueError):
        return 0.0
