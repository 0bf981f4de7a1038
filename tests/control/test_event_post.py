from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from sqlalchemy import select

from sidecar.config_events import EventReceiver
from sidecar.config_gates import Gates
from sidecar.control import event_post, schema
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.event_post import EVENT, EventPost
from sidecar.control.event_sender import EventSender, signed
from sidecar.control.gate_hours import GateHours
from sidecar.control.outbox import Manner, Outbox
from sidecar.control.record import Record
from sidecar.control.store import Store
from sidecar.errors import Unknown
from sidecar.observe.agreement import Tolerance
from sidecar.standing import Event
from tests.control.store_samples import NOW, opened

SECRET = "a secret of some length"


def event(number: int, deployment: str = "fraud", kind: str = "sidecar.data.broken") -> Event:
    return Event(type=kind, deployment=deployment, at=NOW + number, says=f"number {number}", id=f"e-{number}")


@dataclass
class Receiver:
    """Someone else's server: keeps what it is sent, answers as it is told."""

    status: int = 200
    came: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.came.append(msgspec.json.decode(self.bodies[-1]))
        return web.Response(status=self.status, headers={"location": f"{self.url}/elsewhere"})

    @property
    def told(self) -> list[str]:
        return [document["id"] for document in self.came]


class Post:
    """A store, its post and outbox, and receivers on real sockets."""

    def __init__(self, store: Store, *receivers: EventReceiver) -> None:
        self.store, self.now, self.receivers = store, NOW, list(receivers)
        self.secrets = {"SECRET": SECRET}
        self.start()

    def start(self, give_up_s: float = 3_600.0) -> None:
        """As after a restart."""
        sender = EventSender(lambda: self.receivers, self.secrets.get, lambda: self.now)
        manner = Manner(only=frozenset({EVENT}), give_up_s=give_up_s, lines_at_once=4)
        self.outbox = Outbox(self.store.database, {EVENT: sender.deliver}, lambda: self.now, manner=manner)
        self.post = EventPost(self.store.database, lambda: self.receivers, lambda: self.now, self.outbox.wake)
        self.office = DeadLetterOffice(self.store.database, lambda: self.now, self.outbox.wake)

    async def tell(self, *events: Event) -> None:
        for each in events:
            self.post.take(each)
        await self.post.flush()

    async def hours(self, number: float) -> None:
        end = self.now + number * 3_600.0
        while self.now < end:
            self.now += 300.0
            await self.outbox.send_due()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as found:
        yield found


async def test_an_event_is_a_cloud_event_with_its_signature_over_the_very_bytes(
    store: Store, receiver: Receiver
) -> None:
    post = Post(store, EventReceiver(url=f"{receiver.url}/hook", secret_env="SECRET"))
    await post.tell(event(1))
    assert await post.outbox.send_due() == 1
    assert receiver.came == [
        {
            "specversion": "1.0",
            "id": "e-1",
            "source": "/sidecar/deployments/fraud",
            "type": "sidecar.data.broken",
            "time": "2023-11-14T22:13:21.000Z",
            "datacontenttype": "application/json",
            "data": {"deployment": "fraud", "says": "number 1"},
        }
    ]
    (headers,) = receiver.headers
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert headers["webhook-id"] == "e-1"
    content = f"e-1.{headers['webhook-timestamp']}.".encode() + receiver.bodies[0]
    expected = hmac.new(SECRET.encode(), content, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


def test_a_signature_is_the_one_of_the_standard() -> None:
    """The example of the Standard Webhooks specification."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    told = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_each_receiver_gets_the_types_that_it_wants(store: Store, receiver: Receiver) -> None:
    all_of_them = EventReceiver(url=f"{receiver.url}/all")
    some = EventReceiver(url=f"{receiver.url}/some", types=("sidecar.promoted",))
    post = Post(store, all_of_them, some)
    await post.tell(event(1), event(2, kind="sidecar.challenger.unhealthy"))
    assert await post.outbox.send_due() == 2


async def test_a_receiver_that_is_away_gets_everything_later_in_its_order_and_holds_up_no_other(
    store: Store, receiver: Receiver
) -> None:
    away = EventReceiver(url="http://127.0.0.1:9/away")
    post = Post(store, away, EventReceiver(url=receiver.url))
    await post.tell(event(1), event(2))
    assert await post.outbox.send_due() == 2
    assert receiver.told == ["e-1", "e-2"]
    receiver.came.clear()
    post.receivers[0] = away.model_copy(update={"url": f"{receiver.url}/away"})
    await post.tell(event(3))
    post.now += 10.0
    receiver.status = 503
    await post.outbox.send_due()
    assert receiver.told == ["e-3", "e-3"], "one try for each receiver"
    receiver.status = 200
    receiver.came.clear()
    post.now += 10.0
    assert await post.outbox.send_due() == 2


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500])
async def test_all_but_a_yes_is_tried_again(store: Store, receiver: Receiver, status: int) -> None:
    receiver.status = status
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1))
    assert await post.outbox.send_due() == 0
    receiver.status = 204
    post.now += 2.0
    assert await post.outbox.send_due() == 1
    assert receiver.told == ["e-1", "e-1"], "and a redirect was not followed"
    assert receiver.bodies[0] == receiver.bodies[1]


async def test_the_same_fact_is_told_once_also_after_a_restart(store: Store, receiver: Receiver) -> None:
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1), event(1))
    await post.outbox.send_due()
    post.start()
    await post.post.take_up()
    await post.tell(event(1), event(2))
    await post.outbox.send_due()
    assert receiver.told == ["e-1", "e-2"]


async def test_what_was_killed_while_it_was_sent_is_sent_again_with_the_same_id(
    store: Store, receiver: Receiver
) -> None:
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1))
    real = post.outbox._send

    async def killed(rows: Any, delivery: Any) -> bool:
        await delivery
        raise asyncio.CancelledError

    post.outbox._send = killed  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await post.outbox.send_due()
    post.outbox._send = real  # type: ignore[method-assign]
    assert await post.outbox.send_due() == 1
    assert receiver.told == ["e-1", "e-1"]


async def test_an_event_that_nobody_takes_is_given_up_and_the_next_one_goes_out(
    store: Store, receiver: Receiver
) -> None:
    receiver.status = 500
    post = Post(store, EventReceiver(url=f"{receiver.url}/hook/with-a-secret"))
    await post.tell(event(1))
    await post.hours(3)
    letters = await post.office.letters()
    assert (letters.dead, letters.waiting) == (1, 0)
    (letter,) = letters.items
    assert (letter.event, letter.type, letter.fault) == ("e-1", "sidecar.data.broken", "answered 500")
    assert "with-a-secret" not in letter.receiver
    assert len(receiver.came) < 40, "and it was not hammered"
    receiver.status = 200
    await post.tell(event(2))
    assert await post.outbox.send_due() == 1


async def test_a_dead_letter_is_sent_again_by_a_person_and_the_trail_says_who(
    tmp_path: Path, store: Store, receiver: Receiver
) -> None:
    receiver.status = 500
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1))
    await post.hours(3)
    decisions = await Decisions.open(tmp_path)
    record = Record(
        store,
        decisions,
        dead_letters=post.office,
        hours=GateHours(decisions.database, challengers=tuple, record=lambda *_: {}, clock=lambda: post.now),
        tolerance=lambda _name: Tolerance(0.01),
        gates=lambda _name: Gates(),
        clock=lambda: post.now,
    )
    (letter,) = (await record.dead_letters()).items
    receiver.status = 200
    done = await record.send_again(letter.letter, actor="alice", reason="their server is back")
    assert done.event == "e-1"
    assert await post.outbox.send_due() == 1
    assert (await record.dead_letters()).dead == 0
    (entry,) = await store.audit_entries(0, 10)
    assert (entry.actor, entry.action, entry.reason) == ("alice", "resend_event", "their server is back")
    with pytest.raises(Unknown):
        await record.send_again(letter.letter, actor="alice", reason="once more")
    await decisions.close()


async def test_an_event_whose_receiver_is_gone_from_the_settings_is_set_aside(store: Store, receiver: Receiver) -> None:
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1))
    post.receivers.clear()
    await post.outbox.send_due()
    (letter,) = (await post.office.letters()).items
    assert letter.fault == "its receiver is not in the settings any more"
    assert receiver.came == []


async def test_what_waits_for_a_receiver_is_bounded(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_post, "MOST_WAITING", 3)
    post = Post(store, EventReceiver(url=receiver.url))
    for number in range(6):
        await post.tell(event(number))
    letters = await post.office.letters()
    assert (letters.dead, letters.waiting) == (3, 3)
    await post.outbox.send_due()
    assert receiver.told == ["e-3", "e-4", "e-5"]


async def test_without_a_secret_nothing_leaves_unsigned(store: Store, receiver: Receiver) -> None:
    post = Post(store, EventReceiver(url=receiver.url, secret_env="GONE"))
    await post.tell(event(1))
    assert await post.outbox.send_due() == 0
    assert receiver.came == []


async def test_a_damaged_row_is_set_aside(store: Store, receiver: Receiver) -> None:
    post = Post(store, EventReceiver(url=receiver.url))
    await post.tell(event(1), event(2))
    ((first,), _) = await store.database.rows(select(schema.outbox.c.id))
    await store.database.change(schema.outbox.update().where(schema.outbox.c.id == first).values(payload="{"))
    assert await post.outbox.send_due() == 1
    assert receiver.told == ["e-2"]
    assert (await post.office.letters()).items[0].fault == "it is no event"
