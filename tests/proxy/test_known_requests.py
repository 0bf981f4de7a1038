from __future__ import annotations

import pytest

from sidecar.proxy.known_requests import KnownRequests
from sidecar.wire.request_head import RequestHead
from tests.proxy.scripted import World, answering, post

FIRST = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((b"x-request-id: a", b"traceparent: secret of a"), (b"x-request-id: b", FIRST)),
        ((b"x-request-id: " + b"a" * 300, FIRST), (b"x-request-id: b", FIRST)),
        ((b"X-Request-Id: a", b"traceparent: "), (b"X-Request-Id: b", FIRST)),
    ],
    ids=["a trace that is none", "an id too long", "an empty trace"],
)
async def test_what_one_caller_sent_never_goes_on_with_anothers_request(
    world: World, before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    champion = await world.stand(answering())
    caller = await world.caller()
    for _ in range(2):
        await caller.ask(post(b"{}", FIRST, b"x-request-id: c"))  # both lines are known by now
    await caller.ask(post(b"{}", *before))
    await caller.ask(post(b"{}", *after))
    *_, met, fresh = champion.requests
    alone = await World.caller(world)
    await alone.ask(post(b"{}", *after, b"X-Never-Before: 1"))
    assert [name for name, _ in fresh.headers] == [
        name for name, _ in champion.requests[-1].headers if name != b"X-Never-Before"
    ]
    assert fresh.one(b"x-request-id") == b"b"
    assert fresh.one(b"traceparent")[:35] == FIRST[13:48]
    assert b"secret" not in fresh.head
    assert met is not fresh


def _head(headers: list[tuple[bytes, bytes]]) -> RequestHead:
    return RequestHead(b"POST", b"/x", "1.1", headers, keep_alive=True)


def test_a_head_is_forgotten_with_its_table_and_never_longer_than_its_limit() -> None:
    known = KnownRequests()
    data = b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\n{}"
    known.remember(data, _head([(b"Host", b"a"), (b"content-length", b"2")]))
    asked = known.whole(data)
    assert asked is not None
    assert (asked.size, asked.head.length) == (len(data) - 2, 2)
    assert known.whole(data + b"G") is None
    assert known.whole(data[:-1]) is None
    known.forget(4096)
    assert known.whole(data) is None
    known.forget(10)
    known.remember(data, _head([(b"Host", b"a"), (b"content-length", b"2")]))
    assert known.whole(data) is None
