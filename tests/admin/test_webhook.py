"""A webhook is believed when it is signed and new; it wakes somebody, and nothing in it is acted upon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.admin import webhook
from sidecar.admin.api import build_app
from sidecar.admin.auth import auth_token
from sidecar.admin.webhook import REMEMBERED_S, Message, RegistryWebhook, Unsigned
from sidecar.errors import Invalid
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

Client = TestClient[web.Request, web.Application]
PATH = "/v1/registry/webhook"


class Registry:
    """Believes what has the header `x-good`; the body is the delivery's id."""

    def __init__(self) -> None:
        self.now = NOW
        self.moved = 0

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> Message:
        assert now == self.now
        if headers.get("X-Good") != "yes":
            raise Unsigned("not signed with our secret")
        if body == b"garbage":
            raise Invalid("the message cannot be read")
        return Message(body.decode(), moved=headers.get("X-Moved", "yes") == "yes")

    def move(self) -> None:
        self.moved += 1

    async def client(self, aiohttp_client: Any) -> Client:
        taking = RegistryWebhook(self.verify, self.move, lambda: self.now)
        app = build_app(
            FakeService(),
            tokens=[auth_token("alice", "admin", "secret")],
            metrics_text=lambda: b"",
            metrics_open=True,
            clock=lambda: self.now,
            webhook=taking.serve,
        )
        client: Client = await aiohttp_client(TestServer(app))
        return client


async def post(client: Client, body: bytes, **headers: str) -> int:
    sent = {"X-Good": "yes", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(PATH, data=body, headers=sent) as answer:
        document = await answer.json(content_type=None)
        assert answer.status == document.get("status", 202)
        return answer.status


async def test_a_signed_message_needs_no_token_and_no_known_host(aiohttp_client: Any) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)

    assert await post(client, b"one", Host="sidecar.models.svc") == 202
    assert registry.moved == 1


async def test_one_that_is_not_signed_wakes_nobody(aiohttp_client: Any) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)

    assert await post(client, b"one", X_Good="no") == 401
    assert await post(client, b"one", X_Good="no", Authorization="Bearer secret") == 401
    assert registry.moved == 0
    assert await post(client, b"one") == 202, "a refused one does not use up the delivery"


async def test_a_message_is_taken_once(aiohttp_client: Any) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)
    first = await post(client, b"one")
    registry.now += REMEMBERED_S - 1
    again, other = await post(client, b"one"), await post(client, b"two")

    assert [first, again, other] == [202, 409, 202]
    assert registry.moved == 2


async def test_it_does_not_remember_for_ever(aiohttp_client: Any) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)
    await post(client, b"one")
    registry.now += REMEMBERED_S + 1

    assert await post(client, b"one") == 202, "verify refuses what is that old by its own time"


async def test_of_very_many_the_oldest_are_forgotten(aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_REMEMBERED", 2)
    client = await Registry().client(aiohttp_client)
    first = [await post(client, body) for body in (b"one", b"two", b"three")]
    again = [await post(client, body) for body in (b"three", b"one")]

    assert first == [202, 202, 202]
    assert again == [409, 202]


async def test_one_about_something_else_is_taken_and_wakes_nobody(aiohttp_client: Any) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)

    assert await post(client, b"one", X_Moved="no") == 202
    assert registry.moved == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"garbage", {}, 400),
        (b"x" * (256 * 1024 + 1), {}, 413),
        (b"one", {"Content_Type": "text/html"}, 415),
        (b"one", {"Sec_Fetch_Site": "cross-site"}, 403),
    ],
)
async def test_what_makes_no_sense_is_refused(
    aiohttp_client: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    registry = Registry()
    client = await registry.client(aiohttp_client)

    assert await post(client, body, **headers) == status
    assert registry.moved == 0
