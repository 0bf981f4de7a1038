"""POST every 0.9 to 1.1 s to a champion that closes connections which were idle for 1 s: how many fail?

Each of many pairs of client and champion is alone on its connection, so that every gap is a chance to meet the close.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from bench import child, lone_worker, nginx, tables, traffic
from bench.result import Finding, Result
from bench.spread import spread
from bench.stand import Stand
from bench.traffic import CHAMPION

PAIRS = 60
IDLE_S, LEAST_S, MOST_S = 1.0, 0.9, 1.1
SHORT_S, FULL_S = 60.0, 600.0
_ANSWER_S = 10.0
_SEED = 9


class Poster(msgspec.Struct):
    """What one client saw."""

    sent: int = 0
    failed: int = 0
    last: str = ""


def measure(stand: Stand) -> Result:
    """The row."""
    ports = child.free_ports(PAIRS)
    servers = [nginx.backend(port, traffic.answer(CHAMPION), idle_s=IDLE_S) for port in ports]
    # One deployment for each, with a port of its own: so none can borrow another's warm connection.
    routes = [tables.deployment(f"stale-{number}", port) for number, port in enumerate(ports)]
    table = tables.write(stand.new("table"), routes, ports[0])
    seconds = FULL_S if stand.full else SHORT_S
    with (
        nginx.running(stand.new("backend"), servers, ports, stand.load_core),
        lone_worker.running(stand.new("worker"), table, stand.core, stand.build) as worker,
    ):
        posters = asyncio.run(_post(worker.url, seconds))
        opened = nginx.served(ports[0])[0]
        repeats = worker.counts().repeats
    result = judged(posters, seconds, opened, repeats)
    stand.tell(result.note)
    return result


async def _post(url: str, seconds: float) -> list[Poster]:
    posters = [Poster() for _ in range(PAIRS)]
    async with asyncio.TaskGroup() as group:
        for number, poster in enumerate(posters):
            group.create_task(_one(url, number, seconds, poster))
    return posters


async def _one(url: str, number: int, seconds: float, poster: Poster) -> None:
    rng = random.Random(_SEED + number)
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    await asyncio.sleep(rng.uniform(0.0, MOST_S))  # so that they do not march in step
    while loop.time() < end_s:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            # A connection that failed is replaced: a refusal must not end the client.
            while loop.time() < end_s and await _ask(reader, writer, number, poster):
                await asyncio.sleep(rng.uniform(LEAST_S, MOST_S))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, poster: Poster) -> bool:
    """One request; whether the connection goes on."""
    body = b'{"inputs":[]}'
    head = f"POST {tables.path_of(f'stale-{number}')} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    poster.sent += 1
    try:
        async with asyncio.timeout(_ANSWER_S):
            writer.write(b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body))
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.lower().split(b"\r\n")
            length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
    except (OSError, EOFError, TimeoutError, StopIteration) as error:
        poster.failed, poster.last = poster.failed + 1, type(error).__name__
        return False
    if not answer.startswith(b"HTTP/1.1 200 "):
        poster.failed, poster.last = poster.failed + 1, answer.split(b"\r\n")[0].decode(errors="replace")
    return b"connection: close" not in lines


def judged(posters: Sequence[Poster], seconds: float, opened: int, repeats: int) -> Result:
    """None may fail. Pure."""
    sent, failed = sum(one.sent for one in posters), sum(one.failed for one in posters)
    words = ", ".join(sorted({one.last for one in posters if one.last}))
    note = (
        f"{len(posters)} clients, each with a champion of its own, for {seconds:.0f} s: {sent:,} POSTs, {failed} failed"
        f"{f' ({words})' if words else ''}; {repeats} were repeated on a fresh connection after the kept one broke "
        f"unanswered. The champions closed and the worker opened {opened:,} connections."
    )
    return Result(
        title="A champion that closes idle connections",
        findings=[
            Finding(measure=f"POSTs that failed, of {sent:,}", reached=spread([failed]), limit=0, unit="", digits=0)
        ],
        note=note,
    )
