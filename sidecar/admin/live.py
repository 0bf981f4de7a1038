"""Server-sent events: each client has a bounded queue; a client that does not read is dropped, nobody waits for it.

Keeps: at most `clients` streams of `queue` events each; a comment every `heartbeat_s` shows that the stream lives;
a client that missed something is cut off and comes back to read the whole state, so no gap goes unseen.
Does not: replay. Called by `api` for `GET /v1/events`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
from aiohttp import web

from sidecar.admin import answers
from sidecar.standing import Event


class EventStreams:
    """All open streams."""

    def __init__(
        self,
        events: Callable[[], AsyncIterator[Event]],
        *,
        clients: int = 64,
        queue: int = 256,
        heartbeat_s: float = 15.0,
    ) -> None:
        self._events = events
        self._clients = clients
        self._queue = queue
        self._heartbeat_s = heartbeat_s
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers until the client goes, falls behind, or the sidecar ends."""
        if len(self._open) >= self._clients:
            raise web.HTTPServiceUnavailable(
                headers={"Retry-After": "10"}, reason="Too many open event streams; close one or ask again later."
            )
        waiting: asyncio.Queue[bytes] = asyncio.Queue(self._queue)
        pump = asyncio.create_task(self._pump(waiting))
        self._open.add(pump)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        writer = asyncio.create_task(self._write(request, response, waiting))
        try:
            await asyncio.wait({pump, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(pump)
            for task in (pump, writer):
                task.cancel()
            await asyncio.gather(pump, writer, return_exceptions=True)
            if request.transport is not None:
                request.transport.abort()  # a client that does not read would keep a closing connection for ever
        return response

    async def close(self) -> None:
        """Ends all streams; called when the application shuts down."""
        for task in self._open:
            task.cancel()

    async def _pump(self, waiting: asyncio.Queue[bytes]) -> None:
        async for event in self._events():
            if waiting.full():
                return
            waiting.put_nowait(b"data: " + msgspec.json.encode(answers.event(event)) + b"\n\n")

    async def _write(self, request: web.Request, response: web.StreamResponse, waiting: asyncio.Queue[bytes]) -> None:
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    message = await waiting.get()
            except TimeoutError:
                message = b": alive\n\n"
            await response.write(message)
