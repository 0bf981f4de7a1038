"""The admin listener of control, wired: API, dashboard, metrics and the registry's webhook on one socket, with TLS
where the settings have a certificate.

Keeps: files of certificates that changed count for new connections; those that cannot be used change nothing.
Does not: decide or observe anything. Called by control's composition root once everything that it asks is there.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from sidecar.admin.api import ACCESS, build_app
from sidecar.admin.auth import Access, AuthToken
from sidecar.admin.problems import Handler
from sidecar.app.ending import ended
from sidecar.app.identity_keys import identity_of
from sidecar.app.listening import BACKLOG
from sidecar.app.scrape import Scrape
from sidecar.config import Settings
from sidecar.config_admin import Admin
from sidecar.config_tls import AdminTls
from sidecar.control.desk import Desk
from sidecar.decide.routing_table import Certificate
from sidecar.proxy.tls import HANDSHAKE_S, SHUTDOWN_S, Certificates
from sidecar.telemetry.metrics import SidecarCollector, render

_CALLERS_END_S = 3.0
# How often files of certificates are looked at; changed ones are read once they stay as they are for so long.
_LOOK_S = 1.0


class AdminFront:
    """The listener while it serves: who may call, and what callers are shown."""

    def __init__(self, access: Access, certificates: Certificates | None) -> None:
        self._access = access
        self._certificates = certificates

    def renew(self, settings: Admin, tokens: Sequence[AuthToken]) -> None:
        """A reload: other tokens, other clients, other certificates or the same files, which are looked at now."""
        self._access.renew(tokens, settings.clients)
        certificate = _certificate(settings.tls)
        if self._certificates is not None and certificate is not None:
            self._certificates.obey(certificate)


async def answer(
    admin: socket.socket,
    settings: Settings,
    *,
    desk: Desk,
    scrape: Scrape,
    tokens: Sequence[AuthToken],
    webhook: Handler,
    opened: AsyncExitStack,
) -> AdminFront:
    """Answers on the socket until `opened` is closed. Raises Unusable: there is a certificate that it cannot use."""
    collector = SidecarCollector(
        lambda: msgspec.structs.replace(scrape.facts(time.time()), admin_refused=app[ACCESS].refused)
    )
    certificate = _certificate(settings.admin.tls)
    certificates = None if certificate is None else Certificates(certificate)
    identity = await identity_of(settings.admin.oidc, opened)
    app = build_app(
        desk,
        tokens=tokens,
        metrics_text=lambda: render(collector),
        metrics_open=settings.admin.metrics == "open",
        listen_host=settings.admin_address.host,
        allowed_hosts=settings.admin.hosts,
        webhook=webhook,
        identity=None if identity is None else identity.caller,
        clients=settings.admin.clients,
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CALLERS_END_S)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    await listen(admin, runner, certificates, opened)
    return AdminFront(app[ACCESS], certificates)


async def listen(
    admin: socket.socket, runner: web.AppRunner, certificates: Certificates | None, opened: AsyncExitStack
) -> None:
    """The runner's application answers on the socket, with TLS where there are certificates."""
    if certificates is None:
        await web.SockSite(runner, admin).start()
        return
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    # Not by aiohttp's site, which gives a handshake a whole minute.
    server = await asyncio.get_running_loop().create_server(
        runner.server,
        sock=admin,
        backlog=BACKLOG,
        ssl=certificates,
        ssl_handshake_timeout=HANDSHAKE_S,
        ssl_shutdown_timeout=SHUTDOWN_S,
    )
    opened.callback(server.close)
    looking = asyncio.create_task(_look(certificates), name="admin certificates")

    async def end() -> None:
        looking.cancel()
        await ended((looking,))

    opened.push_async_callback(end)


async def _look(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        certificates.tick()


def _certificate(tls: AdminTls) -> Certificate | None:
    if tls.cert_file is None or tls.key_file is None:
        return None
    return Certificate(tls.cert_file, tls.key_file, tls.client_ca_file or "", tls.client_required)
