"""A real control on a temporary folder, two model servers that only answer probes, and a worker that speaks frames."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from registry_client.client import open_registry
from sidecar.app.control import Control
from sidecar.config_file import load
from sidecar.control import publisher, rounds
from sidecar.decide.routing_table import RoutingTable
from sidecar.records import Acknowledged, Hello, Offered
from sidecar.wire.frames import FrameReader, frame
from tests.control.live_samples import GATES, baseline, exchange, shadow_counts, worker_counts

Json = dict[str, Any]
ONE = "/v1/deployments/fraud"
ROWS = 400


class FakeWorker:
    """The worker's end of the link: acknowledges tables, offers what it is given."""

    def __init__(self, name: str, *, acknowledges: bool = True) -> None:
        self.name = name
        self.acknowledges = acknowledges
        self.tables: list[RoutingTable] = []
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    async def join(self, path: str) -> None:
        reader, self._writer = await asyncio.open_unix_connection(path)
        self.send(Hello(self.name, 1))
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        cutter = FrameReader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for content in cutter.feed(data):
                    table = msgspec.msgpack.decode(content, type=RoutingTable)
                    self.tables.append(table)
                    if self.acknowledges:
                        self.send(Acknowledged(self.name, table.serial))

    def send(self, *contents: Any) -> None:
        self._writer.write(b"".join(frame(msgspec.msgpack.encode(content)) for content in contents))

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def offer(self, numbers: range, **changes: Any) -> None:
        """Exchanges of 2 rows, of now."""
        for number in numbers:
            self.send(Offered(exchange(number, rows=2, at=time.time(), **changes)))

    async def leave(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await self._reading


class Stage:
    """Everything up; `control` may be closed and opened again on the same folder."""

    def __init__(self, folder: Path, admin: Json, deployments: list[Json]) -> None:
        self.folder = folder
        self.link = str(folder / "link.sock")
        self.config = folder / "config.yaml"
        self.document: Json = {
            "listen": "127.0.0.1:0",
            "state_dir": str(folder / "state"),
            "admin": {"listen": "127.0.0.1:0"} | admin,
            "registry": {"uri": f"file:{folder / 'registry'}", "poll_s": 0.2},
            "deployments": deployments,
        }
        (folder / "state").mkdir(parents=True)
        self.write()
        self.session: aiohttp.ClientSession
        self.control: Control
        self.worker: FakeWorker
        self._url = ""

    def write(self) -> None:
        self.config.write_text(yaml.safe_dump(self.document))

    async def open(self, *, unready: bool = False) -> None:
        """`unready`: something cannot be served yet, so it is enough that there is a table."""
        self.control = Control(self.config, load(self.config), self.link, self.folder / "state" / "routing.msgpack")
        listener = socket.create_server(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            await self.control.open(listener)
        except BaseException:
            listener.close()
            raise
        self.worker = FakeWorker("w0-1")
        await self.worker.join(self.link)
        await self.until(self.routes if unready else self.ready)

    async def kill(self) -> None:
        """As after `kill -9`: nothing is written at the end that was not written before."""
        self.control._started = False
        await self.control.close()
        await self.worker.leave()

    async def close(self) -> None:
        await self.control.close()
        await self.worker.leave()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def get(self, path: str, status: int = 200, headers: dict[str, str] | None = None) -> Json:
        async with self.session.get(self._url + path, headers=headers) as answer:
            document: Json = await answer.json(content_type=None)
            assert answer.status == status, document
            return document

    async def text(self, path: str) -> str:
        async with self.session.get(self._url + path) as answer:
            assert answer.status == 200
            return await answer.text()

    async def post(self, path: str, body: Json, status: int = 200, headers: dict[str, str] | None = None) -> Json:
        async with self.session.post(self._url + path, json=body, headers=headers) as answer:
            document: Json = await answer.json(content_type=None)
            assert answer.status == status, document
            return document

    async def call(self, method: str, path: str, body: Json | None = None, status: int = 200) -> Json:
        async with self.session.request(method, self._url + path, json=body) as answer:
            document: Json = await answer.json(content_type=None)
            assert answer.status == status, document
            return document

    async def ready(self) -> bool:
        async with self.session.get(f"{self._url}/readyz") as answer:
            return answer.status == 200

    async def routes(self) -> bool:
        return bool(self.worker.tables)

    async def until(self, true: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not await true():
                await asyncio.sleep(0.02)

    async def pairs(self) -> int:
        return int((await self.get(f"{ONE}/comparison"))["pairs"])

    async def paired(self, n: int) -> None:
        async def there() -> bool:
            return await self.pairs() >= n

        await self.until(there)
        assert await self.pairs() == n

    async def alarm(self, kind: str) -> Json:
        found: list[Json] = []

        async def there() -> bool:
            items = (await self.get("/v1/alarms"))["items"]
            found[:] = [alarm for alarm in items if alarm["kind"] == kind and alarm["ended"] is None]
            return bool(found)

        await self.until(there)
        return found[0]


def deployment(server: str, **changes: Any) -> Json:
    return {
        "name": "fraud",
        "owner": "risk@example.com",
        "champion": {"version": "3", "url": server},
        "challengers": [{"version": "4", "url": server}],
        "baseline": "registry",
        "drift": {"bucket_s": 0.2},
        "gates": GATES,
    } | changes


@contextlib.asynccontextmanager
async def model_server() -> AsyncIterator[str]:
    """Answers every request with 200."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def by_alias(server: str, **changes: Any) -> Json:
    """A deployment whose champion and challenger the registry names."""
    source = {"url": server, "path": "/{version}"}
    return {"name": "fraud", "from_registry": source, "drift": {"bucket_s": 0.2}, "gates": GATES} | changes


@contextlib.asynccontextmanager
async def staged(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    admin: Json | None = None,
    made: Callable[..., Json] = deployment,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """The stage with control open and one worker that routes."""
    monkeypatch.setattr(rounds, "ROUND_S", 0.05)
    monkeypatch.setattr(publisher, "ACKNOWLEDGE_S", 0.5)
    registry = open_registry(f"file:{folder / 'registry'}")
    await registry.register("fraud", "3", baseline=baseline(1), lineage={"data": "2026-01"})
    await registry.register("fraud", "4", baseline=baseline(2), lineage={"data": "2026-02"})
    await registry.set_alias("fraud", "champion", "3")
    async with model_server() as server, aiohttp.ClientSession() as session:
        stage = Stage(folder, admin or {}, [made(server, **changes)])
        stage.session = session
        await stage.open()
        try:
            yield stage
        finally:
            await stage.close()


async def metrics(stage: Stage) -> dict[tuple[str, str], float]:
    """By name and sorted labels."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await stage.text("/metrics"))
        for sample in family.samples
    }


async def evidence(stage: Stage) -> None:
    """Enough of everything for the gates: pairs, copies, outcomes."""
    stage.worker.offer(range(ROWS // 2))
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2)))
    await stage.paired(ROWS)
    truths: list[Json] = []
    for number in range(ROWS // 2):
        said = (await stage.get(f"/v1/decisions/id-{number}"))["prediction"] if number == 0 else None
        assert said is None or len(said) == 2
        truths += [{"request_id": f"id-{number}", "row": row, "outcome": row} for row in (0, 1)]
    counts = await stage.post("/v1/outcomes", {"outcomes": truths})
    assert counts["matched"] == ROWS


async def gates_pass(stage: Stage) -> None:
    async def passed() -> bool:
        return bool((await stage.get(f"{ONE}/gates"))["verdict"] == "pass")

    await stage.until(passed)


async def sampled(stage: Stage, rows: int) -> bool:
    return bool((await stage.get(f"{ONE}/drift"))["rows_sampled"] >= rows)
