from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from tests.proxy.scripted import OK, Connection, ModelServer, RawCaller, post, table, until


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
    (tmp_path / "routing.msgpack").write_bytes(msgspec.msgpack.encode(table(champion.at("3"))))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar.app.worker", "--name", "w0", "--listen-fd", str(listener.fileno()),
            "--link", str(tmp_path / "nobody.sock"), "--table", str(tmp_path / "routing.msgpack"),
            pass_fds=(listener.fileno(),), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert worker.stdout is not None
            assert await asyncio.wait_for(worker.stdout.readline(), 20) == b"ready\n"
            caller = RawCaller(*await asyncio.open_connection(*listener.getsockname()))
            assert (await caller.ask(post())).one(b"sidecar-version") == b"3"
            caller.send(post())
            await until(lambda: len(champion.requests) == 2)
            worker.send_signal(signal.SIGTERM)
            go.set()
            assert (await caller.answer()).status == 200
            assert await caller.rest() == b""
            assert await asyncio.wait_for(worker.wait(), 20) == 0
        finally:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
            caller.close()
            await champion.stop()
