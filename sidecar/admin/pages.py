"""The handlers for probes, metrics and the dashboard's page.

Keeps: they answer however little is known; the page's frame holds nothing that needs a role. Called through `api`'s
table.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sidecar.admin import problems
from sidecar.admin.auth import Access
from sidecar.admin.call import CALLER, html_answer, json_answer
from sidecar.admin.dashboard import Against, Dashboard, static_file
from sidecar.admin.service import Service

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """One method per line of the table."""

    def __init__(
        self, service: Service, metrics_text: Callable[[], bytes], dashboard: Dashboard, access: Access
    ) -> None:
        self._service = service
        self._metrics_text = metrics_text
        self._dashboard = dashboard
        self._access = access

    async def healthz(self, _: web.Request) -> web.Response:
        """The process is alive: answering is the proof."""
        return json_answer({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Traffic may come."""
        says = self._service.waits()
        if says is not None:
            return problems.problem(503, says, kind="not-ready")
        remarks = self._service.remarks()
        return json_answer({"status": "ready"} | ({"says": "; ".join(remarks)} if remarks else {}))

    async def metrics(self, _: web.Request) -> web.Response:
        """What Prometheus scrapes."""
        return web.Response(body=self._metrics_text(), headers={"Content-Type": _METRICS_TYPE})

    async def page(self, request: web.Request) -> web.Response:
        """The dashboard. Without a token where one is needed: the frame, which asks for it."""
        caller = self._access.caller(request.headers.get("Authorization"), request.remote)
        known = caller if caller is not None and caller.may("viewer") else None
        return html_answer(await self._dashboard.page(known, asks=self._access.closed, against=_against(request)))

    async def fragment(self, request: web.Request) -> web.Response:
        """The dashboard's moving part."""
        return html_answer(await self._dashboard.fragment(request[CALLER], _against(request)))

    async def static(self, request: web.Request) -> web.Response:
        """Style, script and icon."""
        file = static_file(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.content_type})


def _against(request: web.Request) -> Against:
    """What the dashboard compares live rows with; anything odd means training, since a page is no call."""
    return "recent" if request.query.get("against") == "recent" else "training"
