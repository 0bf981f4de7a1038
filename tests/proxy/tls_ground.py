"""TLS in tests: authorities, a certificate's files that a test replaces, and a plane behind them."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import trustme

from sidecar.decide.routing_table import Certificate
from sidecar.proxy.listener import Caller
from sidecar.proxy.tls import Certificates
from tests.proxy.messages import Message, read_message
from tests.proxy.scripted import World, post

CA = trustme.CA()
STRANGER = trustme.CA()


class Files:
    """A certificate, its key and an authority, as files that a test replaces."""

    def __init__(self, folder: Path, name: str) -> None:
        self.cert, self.key, self.ca = (folder / f"{name}.{kind}" for kind in ("crt", "key", "ca"))

    def show(self, issued: trustme.LeafCert) -> Files:
        put(self.cert, issued.cert_chain_pems[0].bytes())
        put(self.key, issued.private_key_pem.bytes())
        return self

    def trust(self, authority: trustme.CA) -> Files:
        put(self.ca, authority.cert_pem.bytes())
        return self

    def certificate(self, *, client_ca: bool = False) -> Certificate:
        return Certificate(str(self.cert), str(self.key), str(self.ca) if client_ca else "")


def put(file: Path, content: bytes) -> None:
    """As those who renew certificates do it: a file beside, then in its place."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(file)


def client(
    authority: trustme.CA = CA, shown: trustme.LeafCert | None = None, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Front:
    """A plane behind TLS."""

    def __init__(self, world: World, certificates: Certificates, port: int) -> None:
        self.world = world
        self.certificates = certificates
        self.port = port

    async def connect(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost")

    async def ask(self, context: ssl.SSLContext) -> Message:
        reader, writer = await self.connect(context)
        try:
            return await ask_over(reader, writer)
        finally:
            writer.close()

    async def shown(self) -> int:
        """The serial number of the certificate that a new connection sees."""
        _, writer = await self.connect(client())
        try:
            return serial(writer)
        finally:
            writer.close()


async def ask_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message:
    writer.write(post())
    async with asyncio.timeout(20):
        return await read_message(reader, answer=True)


def serial(writer: asyncio.StreamWriter) -> int:
    return int(cast("dict[str, Any]", writer.get_extra_info("peercert"))["serialNumber"], 16)


@asynccontextmanager
async def front(world: World, certificate: Certificate, handshake_s: float = 5.0) -> AsyncIterator[Front]:
    await world.stand()
    certificates = Certificates(certificate)
    server = await asyncio.get_running_loop().create_server(
        cast("Callable[[], asyncio.Protocol]", lambda: Caller(world.plane)),
        "127.0.0.1",
        0,
        ssl=certificates,
        ssl_handshake_timeout=handshake_s,
        ssl_shutdown_timeout=1.0,
    )
    try:
        yield Front(world, certificates, server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def command(*words: str, given: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate(given or None)
    return process.returncode or 0, said.decode(errors="replace")
