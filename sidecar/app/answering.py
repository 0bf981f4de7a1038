"""The admin listener of control, wired: API, dashboard, metrics and the registry's webhook on one socket.

Does not: decide or observe anything. Called by control's composition root once everything that it asks is there.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from sidecar.admin.api import ACCESS, build_app
from sidecar.admin.auth import Access, AuthToken
from sidecar.admin.problems import Handler
from sidecar.app.identity_keys import identity_of
from sidecar.app.scrape import Scrape
from sidecar.config import Settings
from sidecar.control.desk import Desk
from sidecar.telemetry.metrics import SidecarCollector, render

_CALLERS_END_S = 3.0


async def answer(
    admin: socket.socket,
    settings: Settings,
    *,
    desk: Desk,
    scrape: Scrape,
    tokens: Sequence[AuthToken],
    webhook: Handler,
    opened: AsyncExitStack,
) -> Access:
    """Answers on the socket until `opened` is closed; gives who may call, which a reload may change."""
    collector = SidecarCollector(
        lambda: msgspec.structs.replace(scrape.facts(time.time()), admin_refused=app[ACCESS].refused)
    )
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
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CALLERS_END_S)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    await web.SockSite(runner, admin).start()
    return app[ACCESS]
