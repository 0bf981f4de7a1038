"""TLS to model servers: whom a champion and a challenger must be, and what they are shown."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from sidecar.decide.routing_table import Destination, RoutingTable, Trust
from sidecar.proxy.tls import Trusts
from tests.proxy.scripted import ModelServer, World, post, shadow_of, table
from tests.proxy.tls_ground import CA, STRANGER, Files

# From a time when nobody looked: OpenSSL needs the day that a certificate ended to lie after the day that it began.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "front").show(CA.issue_cert("127.0.0.1", "localhost")).trust(CA)


def model_context(issued: trustme.LeafCert, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        CA.configure_trust(context)
    return context


async def secure_model(world: World, context: ssl.SSLContext) -> ModelServer:
    model = ModelServer()
    model._server = await asyncio.start_server(model._serve, "127.0.0.1", 0, ssl=context)
    model.port = model._server.sockets[0].getsockname()[1]
    world.servers.append(model)
    return model


def secured(to: Destination, trust: Trust, host: str = "127.0.0.1") -> Destination:
    return msgspec.structs.replace(to, trust=trust, host=host)


async def serve(world: World, routing: RoutingTable) -> Trusts:
    trusts = Trusts()
    trusts.obey(routing)
    await world.serve(routing)
    world.plane.tls_of = trusts.context
    return trusts


async def status(world: World) -> int:
    caller = await world.caller()
    answer = await caller.ask(post())
    caller.close()
    return answer.status


EXPIRED = CA.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1))
GOOD = CA.issue_cert("127.0.0.1")
NAMED = CA.issue_cert("model.internal")
TRUSTING = "the authority"


@pytest.mark.parametrize(
    ("issued", "trust", "expected"),
    [
        (GOOD, {"ca_file": TRUSTING}, 200),
        (GOOD, {}, 502),  # the system's authorities do not know it
        (STRANGER.issue_cert("127.0.0.1"), {"ca_file": TRUSTING}, 502),
        (NAMED, {"ca_file": TRUSTING}, 502),
        (NAMED, {"ca_file": TRUSTING, "server_name": "model.internal"}, 200),
        (GOOD, {"ca_file": TRUSTING, "server_name": "model.internal"}, 502),
        (EXPIRED, {"ca_file": TRUSTING}, 502),
        (GOOD, {"ca_file": "none/such"}, 502),
    ],
)
async def test_a_champion_is_verified(
    world: World, files: Files, issued: trustme.LeafCert, trust: dict[str, str], expected: int
) -> None:
    trust = {key: value.replace(TRUSTING, str(files.ca)) for key, value in trust.items()}
    model = await secure_model(world, model_context(issued))
    await serve(world, table(secured(model.at("3"), Trust(**trust))))
    assert await status(world) == expected
    assert len(model.requests) == (expected == 200)


async def test_connections_to_a_champion_over_tls_are_kept(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD))
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    caller = await world.caller()
    for _ in range(5):
        assert (await caller.ask(post(b"x" * 50_000))).status == 200
    assert (model.connections, len(model.requests)) == (1, 5)


async def test_a_champion_that_asks_gets_the_sidecars_certificate(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD, asks=True))
    files.show(CA.issue_cert("sidecar"))
    trust = Trust(ca_file=str(files.ca), cert_file=str(files.cert), key_file=str(files.key))
    await serve(world, table(secured(model.at("3"), trust)))
    assert await status(world) == 200


async def test_a_champion_that_asks_refuses_a_sidecar_without_one(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD, asks=True))
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    assert await status(world) == 502


async def test_a_model_server_that_speaks_no_tls_is_a_failed_connection(world: World, files: Files) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    async def talks_first(connection: Any) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await connection.gone()

    model = await world.model(talks_first)
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    assert await status(world) == 502
    assert faults == []


async def test_a_challenger_that_cannot_be_trusted_costs_its_copies_and_nothing_else(
    world: World, files: Files
) -> None:
    champion = await world.model()
    challenger = await secure_model(world, model_context(STRANGER.issue_cert("127.0.0.1")))
    to = secured(challenger.at("4"), Trust(ca_file=str(files.ca)))
    await serve(world, table(champion.at("3"), shadow_of(to)))
    assert await status(world) == 200
    await world.quiet()
    assert world.copies[3] == {"connect_error": 1}
    assert challenger.requests == []


async def test_a_renewed_authority_counts_for_new_connections(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(STRANGER.issue_cert("127.0.0.1")))
    routing = table(secured(model.at("3"), Trust(ca_file=str(files.ca))))
    trusts = await serve(world, routing)
    assert await status(world) == 502
    files.trust(STRANGER)
    trusts.tick()
    trusts.tick()
    assert await status(world) == 200


def test_connections_share_a_context_and_a_trust_that_is_named_no_more_is_forgotten(files: Files) -> None:
    trust = Trust(ca_file=str(files.ca))
    here = secured(Destination("3", "127.0.0.1", 1, "", None), trust)
    trusts = Trusts()
    trusts.obey(table(here, shadow_of(here)))
    first = trusts.context(trust)
    assert trusts.context(Trust(ca_file=str(files.ca))) is first
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.check_hostname
    trusts.obey(table(msgspec.structs.replace(here, trust=None)))
    assert trusts.context(trust) is not first
