"""Guessing at tokens: a few tries at once, then seldom, by place; and nobody learns whether a guess was right."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.admin.api import ACCESS, build_app
from sidecar.admin.auth import REFUSALS, Access, auth_token
from sidecar.admin.guesses import TRIES, TRY_AGAIN_S, Guesses
from tests.admin.api_ground import TOKENS, Serve, bearer
from tests.admin.fake_service import FakeService

WRONG = {"Authorization": "Bearer no-such-token"}


def used_up(guesses: Guesses, source: str | None, now: float = 0.0) -> None:
    assert [guesses.wrong(source, now) for _ in range(TRIES)] == [False] * (TRIES - 1) + [True]


def test_after_so_many_tries_one_waits_and_then_has_one_more() -> None:
    guesses = Guesses()
    used_up(guesses, "10.0.0.1")

    assert guesses.wait_s("10.0.0.1", 0.0) == TRY_AGAIN_S
    assert guesses.wait_s("10.0.0.1", TRY_AGAIN_S) == 0
    assert guesses.wrong("10.0.0.1", TRY_AGAIN_S)
    assert guesses.wait_s("10.0.0.1", TRY_AGAIN_S) == TRY_AGAIN_S
    assert guesses.wait_s("10.0.0.1", 10_000.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        (None, "", True),
    ],
)
def test_a_place_is_an_address_or_an_ipv6_network(one: str | None, other: str | None, same: bool) -> None:
    guesses = Guesses()
    used_up(guesses, one)

    assert (guesses.wait_s(other, 0.0) > 0) is same


def test_of_very_many_places_the_one_that_was_wrong_longest_ago_is_forgotten() -> None:
    guesses = Guesses()
    used_up(guesses, "10.0.0.1")
    for number in range(4_096):
        guesses.wrong(f"10.1.{number >> 8}.{number & 255}", 1.0)

    assert guesses.wait_s("10.0.0.1", 1.0) == 0
    assert len(guesses._left) == 4_096


def test_who_was_wrong_too_often_is_not_told_that_a_guess_is_right() -> None:
    now = [0.0]
    access = Access(TOKENS, "127.0.0.1", (), lambda: now[0])
    for _ in range(TRIES):
        assert access.caller("Bearer wrong", "10.0.0.1") is None

    assert access.wait_s("Bearer secret-admin", "10.0.0.1") > 0
    assert access.wait_s("Bearer secret-admin", "10.0.0.2") == 0
    assert access.wait_s(None, "10.0.0.1") == 0  # who guesses nothing is answered as always
    now[0] = TRY_AGAIN_S
    assert access.wait_s("Bearer secret-admin", "10.0.0.1") == 0


async def test_a_right_token_and_a_call_without_any_use_up_no_tries(serve: Serve) -> None:
    client = await serve(FakeService(calm=True), tokens=TOKENS)
    for _ in range(TRIES + 5):
        assert (await client.get("/v1/alarms", headers=bearer("viewer"))).status == 200
        assert (await client.get("/v1/alarms")).status == 401


@pytest.mark.parametrize("path", ["/v1/alarms", "/"])
async def test_every_route_that_looks_at_a_token_ends_the_guessing(serve: Serve, path: str) -> None:
    client = await serve(FakeService(calm=True), tokens=TOKENS)
    for _ in range(TRIES):
        assert (await client.get(path, headers=WRONG)).status in (200, 401)

    locked = await client.get(path, headers=bearer("admin"))

    assert locked.status == 429
    assert 1 <= int(locked.headers["Retry-After"]) <= TRY_AGAIN_S
    assert (await client.get("/healthz", headers=WRONG)).status == 200


async def test_what_is_refused_is_counted_by_reason(aiohttp_client: Any) -> None:
    app = build_app(FakeService(calm=True), tokens=TOKENS, metrics_text=bytes, metrics_open=True)
    client = await aiohttp_client(app)
    await client.get("/v1/alarms", headers={"Host": "evil.example"})
    await client.post("/v1/outcomes", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    await client.get("/v1/alarms", headers=bearer("reporter"))
    for _ in range(TRIES + 2):
        await client.get("/v1/alarms", headers=WRONG)

    assert app[ACCESS].refused == {"host": 1, "cross_site": 1, "role": 1, "token": TRIES, "guesses": 2}
    assert set(app[ACCESS].refused) == set(REFUSALS)


def test_renewed_tokens_count_from_now_on_and_there_are_always_some() -> None:
    access = Access(TOKENS, "127.0.0.1", ())
    access.renew([auth_token("alice", "operator", "another")])

    assert access.caller("Bearer secret-admin") is None
    caller = access.caller("Bearer another")
    assert caller is not None
    assert caller.name == "alice"
    with pytest.raises(ValueError, match="at the start"):
        access.renew(())
    with pytest.raises(ValueError, match="at the start"):
        Access((), "127.0.0.1", ()).renew(TOKENS)
