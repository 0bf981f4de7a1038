"""What a champion may do that is nobody's fault: close idle connections, restart, refuse early, answer in a stream."""

from __future__ import annotations

import asyncio

from tests.chaos.scripted_backend import Backend, Connection, Script, Stage
from tests.chaos.sick_challengers import answer_bytes


def closes_idle(after_s: float) -> Script:
    """A server whose keep-alive is shorter than the sidecar's patience."""

    async def script(connection: Connection) -> None:
        while True:
            try:
                head = await asyncio.wait_for(connection.head(), after_s)
            except TimeoutError:
                return
            connection.backend.requests.append(head)
            await connection.body(head)
            await connection.send(answer_bytes("3"))

    return script


async def closes_after_each(connection: Connection) -> None:
    """Promises to keep the connection, and closes it behind the answer: every reuse is stale."""
    await connection.request()
    await connection.send(answer_bytes("3"))


class Restarting:
    """A champion that is killed and started again; it knows which ids it got in which life, and which it answered."""

    def __init__(self, stage: Stage, busy_s: float) -> None:
        self.got: list[list[str]] = [[]]
        self.answered: list[str] = []
        self.working = 0
        self._busy_s = busy_s
        self.backend: Backend = stage.backend(self._serve, record=False)

    async def _serve(self, connection: Connection) -> None:
        life = self.got[-1]
        while True:
            request = await connection.request()
            life.append(request.id)
            self.working += 1
            try:
                await asyncio.sleep(self._busy_s)
            finally:
                self.working -= 1
            if life is not self.got[-1]:
                return  # it was killed meanwhile: whatever it still did came to nothing
            await connection.send(answer_bytes("3"))
            self.answered.append(request.id)

    def restart(self) -> int:
        """Ends every connection by a reset; new ones meet a new life. How many requests were being worked on."""
        working = self.working
        self.got.append([])
        self.backend.cut_all()
        return working


def refuses_early(*, politely: bool) -> Script:
    """Says 413 on seeing the head and closes: behind what it was still sent, or over it, which is a reset."""

    async def script(connection: Connection) -> None:
        head = await connection.head()
        connection.backend.requests.append(head)
        body = b"too large for me"
        start = b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        await connection.send(start + body)
        if politely:
            connection.writer.write_eof()
            await asyncio.wait_for(connection.gone(), 5)

    return script


async def answers_at_once(connection: Connection) -> None:
    """Answers at a head's end, keeps the connection, and then reads the body, as servers do that do not need it."""
    while True:
        head = await connection.head()
        connection.backend.requests.append(head)
        await connection.send(answer_bytes("3"))
        await connection.body(head)


def streams(parts: int, pause_s: float) -> Script:
    """An answer in chunks, one after the other; `x-part` lines tell its end from a cut one."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for number in range(parts):
                part = b"data: %d\n\n" % number
                await connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                await asyncio.sleep(pause_s)
            await connection.send(b"0\r\n\r\n")

    return script


def streamed(parts: int) -> bytes:
    """What a caller of `streams` gets."""
    return b"".join(b"data: %d\n\n" % number for number in range(parts))
