"""The handlers for probes and metrics. Keeps: they answer however little is known. Called through `api`'s table."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sidecar.admin import problems
from sidecar.admin.call import json_answer
from sidecar.admin.service import Service

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """One method per line of the table."""

    def __init__(self, service: Service, metrics_text: Callable[[], bytes]) -> None:
        self._service = service
        self._metrics_text = metrics_text

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
