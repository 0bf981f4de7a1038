"""TLS on both sides of a worker, and before the admin API: contexts that are made from files, and anew with them.

Invariants: TLS 1.2 or later, HTTP/1.1 alone; a model server is always verified, its name too; new handshakes use what
the files say now, connections live on with what they have; files that cannot be used change nothing, and are told in
the log. Does no I/O but reading these files, and only when they changed. Called by the composition roots of worker and
control (`tick`, `look`), by asyncio for each caller's handshake, and by pools for each connection that they make.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Self

from sidecar.decide.routing_table import Certificate, RoutingTable, Trust

log = logging.getLogger("sidecar.proxy.tls")

HANDSHAKE_S = 5.0
# How long an orderly end may take before it is an abrupt one.
SHUTDOWN_S = 5.0
_ALPN = ["http/1.1"]
_LOG_EVERY = 100

_Seen = tuple[tuple[int, int, int, int], ...]


class Unusable(OSError):
    """The files of a certificate or of a trust cannot be used. The message is one sentence."""


class Certificates(ssl.SSLContext):
    """What callers are shown: a context for `create_server` that stands for the newest one of its files.

    Each handshake asks `wrap_bio` once, so a reload is a reference that is swapped: nothing half-loaded is ever used.
    Raises Unusable if the files cannot be used at first.

    Attributes:
        failed: handshakes that failed, by OpenSSL's reason.
    """

    def __new__(cls, *_certificate: Certificate) -> Self:
        """What OpenSSL makes for this object serves nobody: another one stands behind it."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificate: Certificate) -> None:
        self.failed: Counter[str] = Counter()
        self._made = _Made(_files(certificate), lambda: self._server_context(certificate))
        self._certificate = certificate
        self._current = self._made.context()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """A connection begins, with the newest context."""
        return self._current.wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def obey(self, certificate: Certificate) -> None:
        """A new routing table: other files, or the same ones, which are looked at now."""
        if certificate != self._certificate:
            self._certificate = certificate
            self._made = self._made.replaced(_files(certificate), lambda: self._server_context(certificate))
        self.look()

    def look(self) -> None:
        """Reads the files again if they changed, at once."""
        self._made.look(patient=False)
        self._current = self._made.context()

    def tick(self) -> None:
        """Reads the files again if they changed and nobody writes them any more: they were the same a tick ago."""
        self._made.look(patient=True)
        self._current = self._made.context()

    def _server_context(self, certificate: Certificate) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context)
        _load_pair(context, certificate.cert_file, certificate.key_file)
        if certificate.client_ca_file:
            context.verify_mode = ssl.CERT_REQUIRED if certificate.client_required else ssl.CERT_OPTIONAL
            context.load_verify_locations(certificate.client_ca_file)
        failed = self.failed

        class Handshake(ssl.SSLObject):
            """A connection whose failed handshake is counted: asyncio ends it without a word."""

            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except ssl.SSLError as error:
                    _count(failed, error.reason or "closed")
                    raise

        context.sslobject_class = Handshake
        return context


class Trusts:
    """What model servers are verified by: a context for each Trust, shared by all connections that have it."""

    def __init__(self) -> None:
        self._made: dict[Trust, _Made] = {}

    def obey(self, table: RoutingTable) -> None:
        """A new routing table: makes the contexts it needs, forgets others, reads files again that changed."""
        needed = set(_trusts(table))
        for trust in [trust for trust in self._made if trust not in needed]:
            del self._made[trust]
        for trust in needed:
            self._of(trust).look(patient=False)

    def context(self, trust: Trust) -> ssl.SSLContext:
        """For a connection that begins now; raises Unusable, which a pool takes as a failure to connect."""
        return self._of(trust).context()

    def tick(self) -> None:
        """Reads files again that changed."""
        for made in self._made.values():
            made.look(patient=True)

    def _of(self, trust: Trust) -> _Made:
        made = self._made.get(trust)
        if made is None:
            made = self._made[trust] = _Made(_files(trust), lambda: _client_context(trust))
            made.look(patient=False)
        return made


class _Made:
    """A context made from files. One that was usable stays until a better one is made."""

    def __init__(self, files: tuple[str, ...], make: Callable[[], ssl.SSLContext]) -> None:
        self._files = files
        self._make = make
        self._context: ssl.SSLContext | None = None
        self._fault = ""
        self._tried: _Seen | None = None
        self._seen: _Seen | None = None

    def replaced(self, files: tuple[str, ...], make: Callable[[], ssl.SSLContext]) -> _Made:
        """From other files; this one's context stays until those can be used."""
        other = _Made(files, make)
        other._context = self._context
        return other

    def context(self) -> ssl.SSLContext:
        """The newest usable context; raises Unusable if there never was one."""
        if self._context is None:
            self.look(patient=False)
        if self._context is None:
            raise Unusable(self._fault)
        return self._context

    def look(self, *, patient: bool) -> None:
        """Makes the context anew if the files changed. A patient look waits until they stay as they are."""
        before, self._seen = self._seen, _seen(self._files)
        if self._seen == self._tried or (patient and self._seen != before):
            return
        again = self._context is not None
        self._tried = self._seen
        try:
            self._context = self._make()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            self._fault = f"{', '.join(self._files)}: {_says(error)}"
            fields = {"files": ", ".join(self._files), "says": _says(error), "old_one_stays": again}
            log.error("TLS files cannot be used", extra={"fields": fields})  # noqa: TRY400
            return
        if again:
            log.info("TLS files were reloaded", extra={"fields": {"files": ", ".join(self._files)}})


def _client_context(trust: Trust) -> ssl.SSLContext:
    # PROTOCOL_TLS_CLIENT verifies the chain and the name. Not create_default_context, which would write every
    # connection's keys to the file that SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if trust.ca_file:
        context.load_verify_locations(trust.ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if trust.cert_file:
        _load_pair(context, trust.cert_file, trust.key_file)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_ALPN)


def _load_pair(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    # Without a password of ours OpenSSL would ask for one on the terminal, and wait.
    context.load_cert_chain(cert_file, key_file or None, password="")


def _files(of: Certificate | Trust) -> tuple[str, ...]:
    authorities = of.client_ca_file if isinstance(of, Certificate) else of.ca_file
    return tuple(file for file in (of.cert_file, of.key_file, authorities) if file)


def _trusts(table: RoutingTable) -> Iterable[Trust]:
    for route in table.routes:
        for to in (route.champion, *(shadow.to for shadow in route.shadows)):
            if to.trust is not None:
                yield to.trust
    if table.upstream is not None and table.upstream.trust is not None:
        yield table.upstream.trust


def _seen(files: tuple[str, ...]) -> _Seen:
    """What tells that a file is another one or was written; zeros for one that is not there."""
    seen = []
    for file in files:
        try:
            stat = os.stat(file)  # noqa: PTH116  a path object a second for nothing
        except OSError:
            seen.append((0, 0, 0, 0))
        else:
            seen.append((stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size))
    return tuple(seen)


def _says(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error.strerror or "not PEM").lower().replace("_", " ")
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)


def _count(failed: Counter[str], reason: str) -> None:
    """Counts a failed handshake, and logs the first of its reason and then each hundredth: scanners come in floods."""
    failed[reason] += 1
    if failed[reason] % _LOG_EVERY == 1:
        fields = {"reason": reason.lower(), "so_far": failed[reason]}
        log.warning("TLS handshakes with callers fail", extra={"fields": fields})
