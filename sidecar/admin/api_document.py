"""Serves `/v1/openapi.json`, which is made when somebody first asks for it: a start has better things to do.

Keeps: nobody else waits meanwhile. What is described, `openapi` says. Called by `api`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
from aiohttp import web

from sidecar.admin import bodies
from sidecar.admin.caller import Need


class ApiDocument:
    """Answers with the document; `describe` is told the routes first."""

    def __init__(self) -> None:
        self._table: tuple[tuple[str, str, Need], ...] = ()
        self._document: bytes | None = None

    def describe(self, table: Iterable[tuple[str, str, Need]]) -> None:
        """Keeps method, path and lowest role of each."""
        self._table = tuple(table)

    async def answer(self, request: web.Request) -> web.Response:
        """`GET /v1/openapi.json`."""
        bodies.query(request)
        if self._document is None:
            self._document = await asyncio.to_thread(_made, self._table)
        return web.Response(body=self._document, content_type="application/json")


def _made(table: tuple[tuple[str, str, Need], ...]) -> bytes:
    from sidecar.admin.openapi import document  # noqa: PLC0415  makes a type for each answer

    return msgspec.json.encode(document(table))
