"""What copies hold is bounded in bytes, given back, and never at the cost of a caller.

M2, M5, M6, R-F06.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self
from zlib import crc32

import pytest

from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Answer, Visit, connect, post, visit
from tests.chaos.ground import MIB, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Connection, Stage
from tests.process.whole_sidecar import until

# The defaults of limits.mirror_bytes, limits.capture_bytes and limits.mirror_body_bytes.
MIRROR_BYTES = CAPTURE_BYTES = 16 * MIB
MIRROR_BODY_BYTES = 4 * MIB
# Sockets, heads, the allocator's whims.
SPARE_BYTES = 32 * MIB


async def sums_up(connection: Connection) -> None:
    """Reads a body of any length piece by piece and answers with its length and checksum."""
    while True:
        head = await connection.head()
        left, checksum = int(head.value(b"content-length")), 0
        while left:
            part = await connection.reader.read(min(left, MIB))
            if not part:
                return
            left, checksum = left - len(part), crc32(part, checksum)
        body = b"%s %d" % (head.value(b"content-length"), checksum)
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def sweeps_up(connection: Connection) -> None:
    """Takes a chunked body without looking at its chunks."""
    await connection.head()
    end = b""
    while not end.endswith(b"\r\n0\r\n\r\n"):
        part = await connection.reader.read(MIB)
        if not part:
            return
        end = end[-8:] + part
    await connection.send(sick.answer_bytes("3"))


@pytest.fixture(scope="module")
def ground(stage: Stage, make: MakeGround) -> Ground:
    champion, summing = stage.backend(sick.healthy("3"), record=False), stage.backend(sums_up)
    patient = {"timeout_s": 2.0, "max_inflight": 1000}
    silent, deaf, healthy = sick.never_answers, sick.never_reads, sick.healthy("4")
    return make(
        [
            deployment("silent", champion.url, {"url": stage.backend(silent, record=False).url} | patient),
            deployment("deaf", champion.url, {"url": stage.backend(deaf, receive_bytes=4096).url} | patient),
            deployment("large", summing.url, {"url": stage.backend(healthy).url}),
            deployment("healthy", champion.url, {"url": stage.backend(healthy).url}),
            deployment("crumbs", stage.backend(sweeps_up).url, {"url": stage.backend(healthy).url}),
            deployment("wordy", stage.backend(sick.healthy("3", 6 * MIB)).url, {"url": stage.backend(healthy).url}),
        ],
        timeouts={"connect_s": 30.0},  # a worker that parses crumbs may not look at its sockets for long
    )


class Peak:
    """The most that a worker held while the context lasted, by its own gauge and by the kernel."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before_bytes = ground.resident_bytes()
        self.held_bytes = 0.0
        self.resident_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.held_bytes = max(self.held_bytes, self._ground.metric("sidecar_held_bytes"))
            self.resident_bytes = max(self.resident_bytes, self._ground.resident_bytes())

    @property
    def grown_bytes(self) -> int:
        return self.resident_bytes - self.before_bytes


@pytest.fixture
def peak(ground: Ground) -> Iterator[Peak]:
    yield Peak(ground)
    ground.quiet()


@pytest.mark.parametrize("name", ["silent", "deaf"])
def test_bodies_held_for_a_stalled_challenger_are_bounded_and_given_back(
    ground: Ground, peak: Peak, name: str, long_form: bool
) -> None:
    """Rounds of 60 MiB at a challenger that takes two seconds to be given up."""
    floors = []
    with peak:
        for turn in range(10 if long_form else 2):
            ids = [f"{name}-{turn}-{number}" for number in range(300)]
            seen = run(visit(ground.data, path_of(name), ids, body=b"x" * 200_000))
            assert (seen.failed, dict(seen.statuses)) == ({}, {200: 300})
            assert seen.p99_s < 1.5
            copies = ground.settled(name, 300 * (turn + 1))
            ground.quiet()
            floors.append(ground.resident_bytes())

    assert 0 < peak.held_bytes <= MIRROR_BYTES
    assert peak.grown_bytes < MIRROR_BYTES + CAPTURE_BYTES + SPARE_BYTES
    # Most of a round found no room, and says so.
    assert set(copies.dropped) <= {"bytes_full", "inflight_limit", "breaker_open"}, copies
    assert copies.dropped.total() > copies.due / 2
    # What the first round left is not added to by the others.
    assert floors[-1] - floors[0] < 8 * MIB
    assert floors[-1] - peak.before_bytes < SPARE_BYTES


def test_a_challenger_that_does_not_read_holds_up_nobodys_upload(ground: Ground, peak: Peak) -> None:
    with peak:
        seen = run(visit(ground.data, path_of("deaf"), [f"mib-{n}" for n in range(60)], body=b"x" * MIB, callers=4))

    assert dict(seen.statuses) == {200: 60}
    assert seen.p99_s < 1.5


def test_fifty_mebibytes_are_served_but_not_copied_and_the_reason_is_counted(ground: Ground, peak: Peak) -> None:
    body = bytes(range(256)) * (50 * MIB // 256)
    with peak:
        seen = run(visit(ground.data, path_of("large"), [f"large-{n}" for n in range(6)], body=body, callers=3))

    assert seen.failed == {}
    assert seen.bodies == {b"%d %d" % (len(body), crc32(body))}
    copies = ground.settled("large", 6)
    assert (dict(copies.outcomes), dict(copies.dropped)) == ({}, {"body_too_large": 6})
    until("the captures", lambda: ground.metric("sidecar_capture_dropped_total", reason="body_too_large") >= 6)
    assert peak.held_bytes <= MIRROR_BYTES
    assert peak.grown_bytes < MIRROR_BYTES + SPARE_BYTES


@pytest.mark.parametrize(("beyond", "outcome", "reason"), [(0, "ok", None), (1, None, "body_too_large")])
def test_the_cap_on_bodies_is_exact(ground: Ground, beyond: int, outcome: str | None, reason: str | None) -> None:
    before = ground.copies("large")
    run(visit(ground.data, path_of("large"), [f"edge-{beyond}"], body=b"x" * (MIRROR_BODY_BYTES + beyond), callers=1))
    after = ground.settled("large", before.due + 1)

    assert set(after.outcomes - before.outcomes) == {outcome} - {None}
    assert set(after.dropped - before.dropped) == {reason} - {None}


def test_an_answer_above_the_cap_is_served_and_the_exchange_counted_as_dropped(ground: Ground) -> None:
    ground.heard()
    before = ground.metric("sidecar_capture_dropped_total", reason="body_too_large")
    seen = run(visit(ground.data, path_of("wordy"), ["wordy"], callers=1))

    assert [len(answer.body) for answer in seen.answers] == [6 * MIB]
    copies = ground.settled("wordy", 1)
    assert dict(copies.outcomes) == {"ok": 1}
    ground.heard()
    assert ground.metric("sidecar_capture_dropped_total", reason="body_too_large") == before + 1


def test_an_upload_that_is_too_large_for_a_copy_takes_no_room_from_copies_of_others(ground: Ground) -> None:
    """Its length is known from its head: nothing of it needs to be held in vain."""
    before = ground.copies("healthy")

    async def upload() -> Visit:
        callers = [await connect(ground.data) for _ in range(6)]
        head = post(path_of("large"), b"").replace(b"content-length: 0", b"content-length: %d" % (50 * MIB))
        for caller in callers:
            caller.writer.write(head + b"x" * (MIRROR_BODY_BYTES - 1))
            await caller.writer.drain()
        seen = await visit(ground.data, path_of("healthy"), [f"small-{n}" for n in range(30)], callers=2)
        for caller in callers:
            caller.reset()
        return seen

    assert dict(run(upload()).statuses) == {200: 30}
    copies = ground.settled("healthy", before.due + 30)
    assert dict(copies.dropped - before.dropped) == {}
    ground.quiet()


def test_a_body_in_crumbs_takes_no_more_memory_than_one_in_one_piece(ground: Ground, peak: Peak) -> None:
    """Two bytes a chunk: whoever keeps each of them as an object holds twenty times what it counts."""
    crumbs = b"2\r\nxx\r\n" * (MIB // 2) + b"0\r\n\r\n"
    head = post(path_of("crumbs"), b"").replace(b"content-length: 0", b"transfer-encoding: chunked")

    async def ask() -> Answer:
        caller = await connect(ground.data)
        try:
            return await caller.ask(head + crumbs)
        finally:
            caller.reset()

    with peak:
        answer = run(ask())

    assert answer.status == 200
    assert peak.grown_bytes < SPARE_BYTES / 2
