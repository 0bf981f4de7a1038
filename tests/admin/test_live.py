from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.admin.live import EventStreams
from sidecar.admin.problems import problems
from sidecar.standing import Event

EVENT = Event(type="sidecar.drift.detected", deployment="fraud", at=0.0, says="x" * 1000)


class Source:
    def __init__(self) -> None:
        self.listening = 0
        self.queues: list[asyncio.Queue[Event]] = []

    async def events(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self.queues.append(queue)
        self.listening += 1
        try:
            while True:
                yield await queue.get()
        finally:
            self.listening -= 1


async def _until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def start(aiohttp_client: Any, streams: EventStreams) -> TestClient[web.Request, web.Application]:
    app = web.Application(middlewares=[problems])
    app.router.add_get("/events", streams.serve)
    app.on_shutdown.append(lambda _: streams.close())
    client: TestClient[web.Request, web.Application] = await aiohttp_client(TestServer(app))
    return client


async def test_a_quiet_stream_beats(aiohttp_client: Any) -> None:
    client = await start(aiohttp_client, EventStreams(Source().events, heartbeat_s=0.01))
    async with client.get("/events") as answer:
        await answer.content.readuntil(b"\n\n")
        assert await answer.content.readuntil(b"\n\n") == b": alive\n\n"


async def test_a_client_that_does_not_read_is_dropped_and_nobody_waits_for_it(aiohttp_client: Any) -> None:
    source = Source()
    client = await start(aiohttp_client, EventStreams(source.events, queue=8))
    _reader, writer = await asyncio.open_connection(client.host, client.port, limit=1024)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await _until(lambda: source.queues)
    sent = 0
    async with asyncio.timeout(60):
        while source.listening:
            source.queues[0].put_nowait(EVENT)
            sent += 1
            await asyncio.sleep(0)
    assert sent > 8
    writer.close()


async def test_a_client_that_leaves_is_forgotten(aiohttp_client: Any) -> None:
    source = Source()
    client = await start(aiohttp_client, EventStreams(source.events, heartbeat_s=0.01))
    async with client.get("/events") as answer:
        await answer.content.readuntil(b"\n\n")
    await _until(lambda: source.listening == 0)


async def test_more_streams_than_allowed_are_refused(aiohttp_client: Any) -> None:
    client = await start(aiohttp_client, EventStreams(Source().events, clients=1))
    async with client.get("/events") as first:
        await first.content.readuntil(b"\n\n")
        second = await client.get("/events")
        assert (second.status, second.headers["Retry-After"]) == (503, "10")
        assert second.content_type == "application/problem+json"
