"""Which requests are copied, what a copy looks like, and what becomes of it when the original goes wrong.

M4, M7 to M14. One sidecar with a deployment for each question.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Any
from zlib import crc32

import pytest

from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import connect, post, visit
from tests.chaos.ground import Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Backend, Connection, Request, Stage
from tests.process.whole_sidecar import ROW, ask_once, until

FRACTION = 0.3
ANSWER_S = 3.0


async def moody(connection: Connection) -> None:
    """Does what the request's `x-do` says: hold the answer back for a while or for ever, or break off."""
    while True:
        request = await connection.request()
        match request.value(b"x-do"):
            case b"wait":
                await asyncio.sleep(0.5)
            case b"stall":
                await connection.gone()
            case b"reset":
                connection.reset()
                return
        await connection.send(sick.answer_bytes("3"))


async def sees_the_head_first(connection: Connection) -> None:
    """Records a request when its head and the first byte of its body are there."""
    while True:
        head = await connection.head()
        first = await connection.reader.readexactly(1)
        connection.backend.requests.append(head)
        await connection.reader.readexactly(int(head.value(b"content-length")) - len(first))
        await connection.send(sick.answer_bytes("3"))


async def leisurely(connection: Connection) -> None:
    while True:
        await connection.request()
        await asyncio.sleep(0.3)
        await connection.send(sick.answer_bytes("4"))


class World:
    """The sidecar and what stands behind it."""

    def __init__(self, stage: Stage, make: MakeGround) -> None:
        self.champion = stage.backend(sick.healthy("3"), keep_bodies=True)
        self.challenger = stage.backend(sick.healthy("4"), keep_bodies=True)
        self.third = stage.backend(sick.healthy("4"))
        self.moody, self.moodys_challenger = stage.backend(moody), stage.backend(sick.healthy("4"))
        self.shared = stage.backend(sick.healthy("3"))
        self.watcher = stage.backend(sees_the_head_first)
        self.leisurely = stage.backend(leisurely)
        self.looped = stage.backend(sick.healthy("3"))
        self.owners: dict[int, set[bool]] = {}
        self.mixed = stage.backend(self.notes_owners)
        deployments: list[dict[str, Any]] = [
            deployment("plain", self.champion.url, {"url": self.challenger.url}),
            deployment("third", self.champion.url, {"url": self.third.url, "fraction": FRACTION}),
            deployment("moody", self.moody.url, {"url": self.moodys_challenger.url}),
            deployment("mixed", self.mixed.url, {"url": self.mixed.url}),
            deployment("early", self.watcher.url, {"url": self.challenger.url}),
            deployment("storm", self.champion.url, {"url": self.leisurely.url, "max_inflight": 5}),
            deployment("loop", self.looped.url, {"url": stage.backend(self.sends_back).url}),
        ]
        self.ground = make(deployments, timeouts={"answer_s": ANSWER_S}, upstream=self.champion.url)

    async def notes_owners(self, connection: Connection) -> None:
        """A model server that is both champion and challenger: which of the two came on which connection?"""
        while True:
            request = await connection.request()
            self.owners.setdefault(connection.number, set()).add(request.is_copy)
            await connection.send(sick.answer_bytes("3"))

    async def sends_back(self, connection: Connection) -> None:
        """A load balancer by which copies come back to the sidecar that sent them."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.ground.data.rsplit(":", 1)[1]))

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while part := await source.read(65536):
                target.write(part)
            target.close()

        await asyncio.gather(pass_on(connection.reader, writer), pass_on(reader, connection.writer))


@pytest.fixture(scope="module")
def world(stage: Stage, make: MakeGround) -> World:
    return World(stage, make)


@pytest.fixture
def ground(world: World) -> Ground:
    return world.ground


def sent(backend: Backend, request_id: str, count: int = 1) -> list[Request]:
    """The requests of this id that a backend got, once they are so many."""

    def look() -> list[Request]:
        found = [request for request in list(backend.requests) if request.id == request_id]
        return found if len(found) >= count else []

    found: list[Request] = until(f"{request_id} at {backend.url}", look)
    return found


def ask(ground: Ground, data: bytes) -> int:
    """The status that some bytes get."""

    async def asked() -> int:
        caller = await connect(ground.data)
        answer = await caller.ask(data)
        caller.reset()
        return answer.status

    return run(asked())


# --- which requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        f"GET {path_of('plain')}",
        f"PUT {path_of('plain')}",
        f"POST {path_of('plain')}/ready",
        "POST /v2/models/plain",
        "POST /v2/repository/index",
    ],
)
def test_only_inference_is_copied(world: World, ground: Ground, start: str) -> None:
    """M10: a POST with effects that is done twice is the classic accident."""
    before = len(world.challenger.requests), ground.copies("plain").due
    name = start.replace(" ", "-").replace("/", "_")
    ask(ground, post("/", ROW, name).replace(b"POST /", start.encode(), 1))
    sent(world.champion, name)

    ground.heard()
    assert (len(world.challenger.requests), ground.copies("plain").due) == before


def test_which_requests_a_fraction_takes_depends_on_their_ids_alone(world: World, ground: Ground) -> None:
    """M12: the same ids twice, the second time in another order and at once."""
    ids = [f"chosen-{number}" for number in range(300)]
    chosen = {request_id for request_id in ids if crc32(request_id.encode()) < FRACTION * 2**32}
    run(visit(ground.data, path_of("third"), ids, callers=2))
    first = ground.settled("third", len(chosen))
    run(visit(ground.data, path_of("third"), reversed(ids), callers=2))
    both = ground.settled("third", 2 * len(chosen))
    ground.heard()

    assert (first.due, both.due, ground.copies("third").due) == (len(chosen), 2 * len(chosen), 2 * len(chosen))
    assert set(world.third.ids) <= chosen
    # What was dropped is counted, and nothing else took its place.
    assert len(world.third.ids) == 2 * len(chosen) - both.dropped.total()
    assert len(world.third.ids) > len(chosen)


def test_a_copy_that_comes_back_is_not_copied_again_and_is_no_callers_request(world: World, ground: Ground) -> None:
    """M13: this challenger is the sidecar itself, by another address."""
    before = ground.metric("sidecar_requests_total", deployment="loop")
    run(visit(ground.data, path_of("loop"), [f"loop-{number}" for number in range(20)], callers=2))
    copies = ground.settled("loop", 20)
    ground.quiet()

    assert copies.due == ground.copies("loop").due == 20
    # Once for the caller, and once for each copy that was sent.
    assert Counter(world.looped.ids).total() == 20 + sum(copies.outcomes.values())
    assert max(Counter(world.looped.ids).values()) == 2
    assert ground.metric("sidecar_requests_total", deployment="loop") - before == 20


# --- what a copy looks like ------------------------------------------------------------------------------------

SECRETS = ("authorization: Bearer s3cret", "cookie: a=s3cret", "proxy-authorization: s3cret", "x-api-key: s3cret")


def test_a_copy_is_marked_and_carries_no_credentials(world: World, ground: Ground) -> None:
    """M9. The champion gets what is for it, and no mark."""
    others = ("x-tenant: blue", "x-repeated: 1", "x-repeated: 2", "connection: x-hop", "x-hop: s3cret")
    ask(ground, post(path_of("plain"), ROW, "marked", *SECRETS, *others))
    (original,), (copy,) = sent(world.champion, "marked"), sent(world.challenger, "marked")

    assert copy.all(b"sidecar-shadow") == [b"4"]
    assert original.all(b"sidecar-shadow") == []
    assert not any(b"s3cret" in value for _, value in copy.headers)
    for line in SECRETS[:2] + SECRETS[3:]:
        name, _, value = line.partition(": ")
        assert original.all(name.encode()) == [value.encode()]
    assert original.all(b"x-hop") == copy.all(b"x-hop") == []
    assert copy.all(b"x-tenant") == [b"blue"]
    assert copy.all(b"x-repeated") == [b"1", b"2"]
    assert copy.all(b"host") == original.all(b"host")
    assert copy.body == original.body == ROW
    assert copy.start == original.start == f"POST {path_of('plain')} HTTP/1.1".encode()


def test_a_copy_of_a_request_without_a_body_has_none(world: World, ground: Ground) -> None:
    """M11: no length, no chunks, no bytes."""
    bare = post(path_of("plain"), b"", "bare").replace(b"content-length: 0\r\n", b"")
    ask(ground, bare)
    (copy,) = sent(world.challenger, "bare")

    assert (copy.all(b"content-length"), copy.all(b"transfer-encoding"), copy.body) == ([], [], b"")


def test_a_chunked_body_arrives_whole_at_both(world: World, ground: Ground) -> None:
    parts = [b"a", b"bc" * 1000, b"\x00\xff" * 40_000]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    head = post(path_of("plain"), b"", "chunked").replace(b"content-length: 0", b"transfer-encoding: chunked")
    ask(ground, head + chunks)

    assert sent(world.champion, "chunked")[0].body == sent(world.challenger, "chunked")[0].body == b"".join(parts)


def test_answers_are_joined_by_the_requests_id(world: World, ground: Ground) -> None:
    """M14: what each version said to one request can be asked for."""
    ids = [f"joined-{number}" for number in range(20)]
    run(visit(ground.data, path_of("plain"), ids, callers=1))

    def look() -> list[dict[str, Any]]:
        found = [ask_once(ground.sidecar.admin, f"/v1/decisions/{request_id}", None) for request_id in ids]
        return [answer.document for answer in found] if {answer.status for answer in found} == {200} else []

    for decision in until("twenty decisions", look):
        assert decision["version"] == "3"
        assert decision["prediction"] is not None
        (leg,) = decision["challengers"]
        assert (leg["version"], leg["prediction"]) == ("4", decision["prediction"])


# --- when the original goes wrong ------------------------------------------------------------------------------


def moodys_copies(world: World, request_id: str) -> int:
    return world.moodys_challenger.ids.count(request_id)


def test_a_caller_that_leaves_after_its_request_does_not_cancel_the_copy(world: World, ground: Ground) -> None:
    """M7: the champion's leg ends with its caller, the copy is finished."""
    before = ground.copies("moody")

    async def leave() -> None:
        caller = await connect(ground.data)
        caller.writer.write(post(path_of("moody"), ROW, "left", "x-do: stall"))
        await caller.writer.drain()
        while "left" not in world.moody.ids:
            await asyncio.sleep(0.005)
        caller.reset()

    run(leave())

    after = ground.settled("moody", before.due + 1)
    assert dict(after.outcomes - before.outcomes) == {"ok": 1}
    ground.quiet()
    assert ground.metric("sidecar_requests_total", deployment="moody", code="499") == 1


def test_a_caller_that_leaves_within_its_request_leaves_no_copy(world: World, ground: Ground) -> None:
    before = ground.copies("moody").due

    async def leave() -> None:
        caller = await connect(ground.data)
        caller.writer.write(post(path_of("moody"), ROW, "unfinished")[:-5])
        await caller.writer.drain()
        await asyncio.sleep(0.1)
        caller.reset()

    run(leave())
    ground.quiet()

    assert (ground.copies("moody").due, moodys_copies(world, "unfinished")) == (before, 0)


@pytest.mark.parametrize(("mood", "status"), [("reset", 502), ("stall", 504), ("wait", 200)])
def test_a_champion_that_fails_does_not_cancel_the_copy(world: World, ground: Ground, mood: str, status: int) -> None:
    """M7, and the champion's failure reaches the caller under its own name."""
    before = ground.copies("moody")
    assert ask(ground, post(path_of("moody"), ROW, f"champion-{mood}", f"x-do: {mood}")) == status

    after = ground.settled("moody", before.due + 1)
    assert dict(after.outcomes - before.outcomes) == {"ok": 1}
    assert moodys_copies(world, f"champion-{mood}") == 1


# --- whose connections, and how many ---------------------------------------------------------------------------


def test_copies_have_connections_of_their_own_even_to_the_same_server(world: World, ground: Ground) -> None:
    """M8."""
    run(visit(ground.data, path_of("mixed"), [f"mixed-{number}" for number in range(100)], callers=4))
    ground.settled("mixed", 100)

    assert set(map(frozenset, world.owners.values())) == {frozenset({True}), frozenset({False})}


def test_a_burst_makes_no_more_connections_than_a_challenger_may_have_copies(world: World, ground: Ground) -> None:
    """M8, M15: sixty at once meet a challenger that is slow."""
    seen = run(visit(ground.data, path_of("storm"), [f"storm-{number}" for number in range(300)], callers=60))
    copies = ground.settled("storm", 300)

    assert dict(seen.statuses) == {200: 300}
    assert copies.due == 300
    assert set(copies.dropped) == {"inflight_limit"}
    assert world.leisurely.most_open <= 5


def test_the_body_goes_to_the_champion_before_it_is_whole(world: World, ground: Ground) -> None:
    """M4."""
    data = post(path_of("early"), b"x" * 1000, "early")
    with socket.create_connection(("127.0.0.1", int(ground.data.rsplit(":", 1)[1]))) as raw:
        raw.sendall(data[:-500])
        sent(world.watcher, "early")
        raw.sendall(data[-500:])
        assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_nothing_is_left_of_all_this(world: World, ground: Ground) -> None:
    ground.quiet()

    assert ground.sidecar.logged("child died") == []
    assert ask_once(ground.data, path_of("plain")).status == 200
