from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec
import pytest
import trustme

from sidecar.app.worker import Worker
from sidecar.decide.routing_table import Certificate, RoutingTable
from tests.proxy.messages import read_message
from tests.proxy.scripted import OK, Connection, ModelServer, RawCaller, post, shadow_of, table, until

CA = trustme.CA()
HALF_A_HEAD, THE_REST = post()[:20], post()[20:]


class Process:
    """A worker as the supervisor starts it."""

    def __init__(self, process: asyncio.subprocess.Process, listener: socket.socket) -> None:
        self.process = process
        self.where = listener.getsockname()
        self.lines: list[bytes] = []

    async def hear(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line)

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["event"] == event]

    async def caller(self) -> RawCaller:
        return RawCaller(*await asyncio.open_connection(*self.where))

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def starting(folder: Path, routing: RoutingTable) -> AsyncIterator[Process]:
    """A worker that begins from this table, without control."""
    (folder / "routing.msgpack").write_bytes(msgspec.msgpack.encode(routing))
    pipe = asyncio.subprocess.PIPE
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar.app.worker", "--name", "w0", "--listen-fd", str(listener.fileno()),
            "--link", str(folder / "nobody.sock"), "--table", str(folder / "routing.msgpack"),
            pass_fds=(listener.fileno(),), stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        worker = Process(process, listener)
        hearing = asyncio.create_task(worker.hear())
        try:
            yield worker
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await hearing


@asynccontextmanager
async def running(folder: Path, routing: RoutingTable) -> AsyncIterator[Process]:
    """The same, once it serves."""
    async with starting(folder, routing) as worker:
        assert worker.process.stdout is not None
        assert await asyncio.wait_for(worker.process.stdout.readline(), 60) == b"ready\n"
        yield worker


@pytest.mark.process
async def test_a_worker_serves_from_the_table_on_disk_without_control_and_drains_on_sigterm(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        await go.wait()
        connection.send(OK)

    champion = await ModelServer(script).start()
    async with running(tmp_path, table(champion.at("3"))) as worker:
        caller = await worker.caller()
        assert (await caller.ask(post())).one(b"sidecar-version") == b"3"
        caller.send(post())
        await until(lambda: len(champion.requests) == 2)
        worker.process.send_signal(signal.SIGTERM)
        go.set()
        assert (await caller.answer()).status == 200
        assert await caller.rest() == b""
        assert await worker.ended() == 0
        caller.close()
    await champion.stop()


@pytest.mark.process
async def test_a_process_that_was_stopped_calls_nobody_late_for_it(tmp_path: Path) -> None:
    """SIGSTOP for longer than every deadline: the debugger, the hypervisor, a laptop's lid."""
    bounds: dict[str, Any] = {"headers_s": 2.0, "body_s": 2.0, "answer_s": 2.0}

    async def script(connection: Connection) -> None:
        await connection.request()
        go.set()
        await on.wait()
        connection.send(OK)

    go, on = asyncio.Event(), asyncio.Event()
    champion = await ModelServer(script).start()
    async with running(tmp_path, table(champion.at("3"), **bounds)) as worker:
        waiting, sending, uploading = [await worker.caller() for _ in range(3)]
        waiting.send(post())
        sending.send(HALF_A_HEAD)
        uploading.send(post(b"x" * 1000)[:-500])
        await go.wait()
        await until(lambda: champion.connections == 2)  # connecting has a time limit of its own
        worker.process.send_signal(signal.SIGSTOP)
        stopped_at = monotonic()
        await until(lambda: monotonic() > stopped_at + 3.0)
        worker.process.send_signal(signal.SIGCONT)
        await until(lambda: worker.said("the loop was late"))
        on.set()
        sending.send(THE_REST)
        uploading.send(b"x" * 500)
        assert [(await caller.answer()).status for caller in (waiting, sending, uploading)] == [200, 200, 200]
        late = worker.said("the loop was late")[0]["fields"]
        assert late["lag_s"] > 2.5
        assert late["cpu_s"] < 0.5
        # Nobody is excused twice: what comes from now on has its time and no more.
        slow = await worker.caller()
        slow.send(HALF_A_HEAD)
        assert (await slow.answer()).status == 408
        for caller in (waiting, sending, uploading, slow):
            caller.close()
    await champion.stop()


async def test_a_block_of_the_loop_calls_nobody_late_for_it_either(tmp_path: Path) -> None:
    champion, challenger = await ModelServer().start(), await ModelServer().start()
    loop = asyncio.get_running_loop()
    routing = table(champion.at("3"), shadow_of(challenger.at("4")), headers_s=2.0)
    worker = Worker(loop, "w0", str(tmp_path / "nobody.sock"), routing, 1)
    listener = socket.create_server(("127.0.0.1", 0))
    server = await worker.listen(listener)
    caller = RawCaller(*await asyncio.open_connection(*listener.getsockname()))
    caller.send(HALF_A_HEAD)
    await until(lambda: any(each.deadline < loop.time() + 3 for each in worker._plane.callers))
    loop.call_soon(lambda: sleep(2.5))
    await until(lambda: worker._watchdog.lag_s > 2.0)
    assert (await caller.ask(THE_REST)).status == 200
    caller.close()
    assert await worker.stop(server)
    await champion.stop()
    await challenger.stop()


# --- TLS ---------------------------------------------------------------------------------------------------------


def show(folder: Path, issued: trustme.LeafCert) -> Certificate:
    issued.cert_chain_pems[0].write_to_path(folder / "front.crt")
    issued.private_key_pem.write_to_path(folder / "front.key")
    return Certificate(str(folder / "front.crt"), str(folder / "front.key"))


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


async def secure_caller(worker: Process) -> tuple[RawCaller, str]:
    """A caller over TLS, and the serial number of the certificate that it was shown."""
    reader, writer = await asyncio.open_connection(*worker.where, ssl=trusting(), server_hostname="localhost")
    return RawCaller(reader, writer), writer.get_extra_info("peercert")["serialNumber"]


@pytest.mark.process
async def test_a_worker_speaks_tls_renews_its_certificate_and_cuts_who_never_shakes_hands(tmp_path: Path) -> None:
    champion = await ModelServer().start()
    certificate = show(tmp_path, CA.issue_cert("localhost"))
    routing = msgspec.structs.replace(table(champion.at("3")), certificate=certificate)
    async with running(tmp_path, routing) as worker:
        mute, since = await worker.caller(), monotonic()
        caller, first = await secure_caller(worker)
        assert (await caller.ask(post())).status == 200
        plain = await worker.caller()
        plain.send(post())
        assert not (await plain.rest()).startswith(b"HTTP/")

        show(tmp_path, CA.issue_cert("localhost"))
        shown = first
        while shown == first:
            assert monotonic() < since + 60
            renewed, shown = await secure_caller(worker)
            assert (await renewed.ask(post())).status == 200
            renewed.close()
            await asyncio.sleep(0.1)
        assert (await caller.ask(post())).status == 200  # on the connection from before
        assert [line["event"] for line in map(json.loads, worker.lines)].count("TLS files were reloaded") == 1

        async with asyncio.timeout(60):
            assert await mute.reader.read() == b""
        assert 4.0 < monotonic() - since < 60.0
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0
        for each in (mute, caller, plain):
            each.close()
    assert b"Traceback" not in b"".join(worker.lines)
    await champion.stop()


@pytest.mark.process
async def test_an_answer_over_tls_is_whole_when_the_worker_drains(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4000

    async def script(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await go.wait()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    asked, go = asyncio.Event(), asyncio.Event()
    champion = await ModelServer(script).start()
    certificate = show(tmp_path, CA.issue_cert("localhost"))
    async with running(tmp_path, msgspec.structs.replace(table(champion.at("3")), certificate=certificate)) as worker:
        caller, _ = await secure_caller(worker)
        caller.send(post())
        await asked.wait()
        worker.process.send_signal(signal.SIGTERM)
        go.set()
        async with asyncio.timeout(60):
            answer = await read_message(caller.reader, answer=True)
        assert (answer.status, answer.body) == (200, body)
        caller.close()
        assert await worker.ended() == 0
    await champion.stop()


@pytest.mark.process
async def test_a_worker_that_cannot_use_its_certificate_says_so_in_one_sentence(tmp_path: Path) -> None:
    champion = await ModelServer().start()
    certificate = show(tmp_path, CA.issue_cert("localhost"))
    (tmp_path / "front.key").write_bytes(b"no key")
    async with starting(tmp_path, msgspec.structs.replace(table(champion.at("3")), certificate=certificate)) as worker:
        assert await worker.ended() == 2
    sentences = [line.decode() for line in worker.lines if not line.startswith(b"{")]
    assert len(sentences) == 1
    assert "front.key" in sentences[0]
    await champion.stop()
