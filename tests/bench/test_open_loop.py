"""The open loop: moments of sending, percentiles, and a generator that lets nobody hide a stall."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from statistics import mean

import pytest

from bench.generator import CONNECTIONS, generate
from bench.open_loop import LoadFailed, moments, summed

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server(asyncio.Protocol):
    """Answers each request at once; those that come in `stall`, seconds after the very first one, at its end."""

    def __init__(self, answer: bytes, stall: tuple[float, float], seen: list[bytes], first_s: list[float]) -> None:
        self.answer, self.stall, self.seen, self.first_s = answer, stall, seen, first_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)
        loop = asyncio.get_running_loop()
        self.first_s.append(loop.time())
        begin, end = (self.first_s[0] + at for at in self.stall)
        if begin <= loop.time() < end:
            loop.call_at(end, self.transport.write, self.answer)
        elif self.answer:
            self.transport.write(self.answer)
        else:
            self.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    answer: bytes, seen: list[bytes] | None = None, stall: tuple[float, float] = (0.0, 0.0)
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    served: list[Server] = []
    first_s: list[float] = []

    def accepted() -> Server:
        served.append(Server(answer, stall, [] if seen is None else seen, first_s))
        return served[-1]

    async with await loop.create_server(accepted, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/x"
    for one in served:
        one.transport.abort()
    await asyncio.sleep(0)  # so that they are closed before the loop is


def test_moments_come_at_the_rate_at_random_and_the_same_for_all() -> None:
    found = moments(1000.0, 5.0)
    assert found == moments(1000.0, 5.0)
    assert found == sorted(found)
    assert len(found) == pytest.approx(5000, rel=0.06)
    gaps = [later - sooner for sooner, later in pairwise(found)]
    assert mean(gaps) == pytest.approx(0.001, rel=0.06)
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.37, abs=0.03)  # 1/e: it is exponential


def test_percentiles_are_of_what_was_answered() -> None:
    found = summed([n / 1000 for n in range(100, 0, -1)], [0.0] * 100, failed=3)
    assert (found.due, found.failed) == (103, 3)
    assert (found.p50_ms, found.p99_ms, found.most_ms) == pytest.approx((50.0, 99.0, 100.0))


async def test_every_request_is_sent_whole_and_answered() -> None:
    seen: list[bytes] = []
    async with serving(ANSWER, seen) as url:
        found = await generate(url, [b"a", b"b"], 200.0, 0.3)
    assert found.failed == 0
    assert len(seen) == len(moments(200.0, 0.8))
    assert found.due == sum(at >= 0.5 for at in moments(200.0, 0.8))
    head = f"POST /v2/x HTTP/1.1\r\nhost: {url.split('/')[2]}\r\ncontent-type: application/json\r\n"
    assert seen[0] == f"{head}content-length: 1\r\n\r\na".encode()
    assert seen[1].endswith(b"\r\n\r\nb")


async def test_a_stall_hurts_all_requests_that_were_due_in_it() -> None:
    async with serving(ANSWER, stall=(0.55, 0.85)) as url:
        found = await generate(url, [b"a"], 400.0, 0.5)
    # More are due than there are connections, and those that had to wait for one count from when they were due.
    assert found.due > CONNECTIONS
    assert found.failed == 0
    assert found.p50_ms > 20.0
    assert found.p99_ms > 200.0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_refusals_resets_and_answers_without_length_are_failures(answer: bytes) -> None:
    async with serving(answer) as url:
        with pytest.raises(LoadFailed, match=r"nothing was answered, [1-9]"):
            await generate(url, [b"a"], 200.0, 0.2)
