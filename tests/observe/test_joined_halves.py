from __future__ import annotations

import doctest
from collections import Counter
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.observe import joined_halves
from sidecar.observe.joined_halves import RESULTS, JoinedHalves
from sidecar.records import LoggedHalf

NOW = 1_700_000_000.0
Side = Literal["request", "response"]


def half(side: Side, name: str = "a", body: bytes = b"{}", **changes: Any) -> LoggedHalf:
    fields: dict[str, Any] = {
        "services": ("fraud",),
        "endpoint": "",
        "origin": "",
        "at": None,
        "content_type": "application/json",
        "content_encoding": "",
    }
    return LoggedHalf(side=side, id=name, body=body, **fields | changes)


def test_the_example_of_the_docstring_holds() -> None:
    assert doctest.testmod(joined_halves).failed == 0


@pytest.mark.parametrize("sides", [("request", "response"), ("response", "request")])
def test_halves_meet_in_either_order(sides: tuple[Side, Side]) -> None:
    halves = JoinedHalves()

    assert halves.add("fraud", half(sides[0], body=sides[0].encode()), NOW) is None
    pair = halves.add("fraud", half(sides[1], body=sides[1].encode()), NOW + 1)

    assert pair is not None
    assert (pair.request.body, pair.response.body) == (b"request", b"response")
    assert halves.counts["fraud"] == {"joined": 2}
    assert (halves.waiting, halves.waiting_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("deployment", "changes"),
    [("other", {}), ("fraud", {"endpoint": "canary"}), ("fraud", {"origin": "transformer"}), ("fraud", {"id": "b"})],
    ids=["deployment", "endpoint", "part", "id"],
)
def test_halves_of_different_exchanges_do_not_meet(deployment: str, changes: dict[str, Any]) -> None:
    halves = JoinedHalves()
    halves.add("fraud", half("request"), NOW)
    name = changes.pop("id", "a")

    assert halves.add(deployment, half("response", name, **changes), NOW) is None
    assert halves.waiting == 2


def test_the_first_of_two_alike_stays() -> None:
    halves = JoinedHalves()
    halves.add("fraud", half("request", body=b"first"), NOW)

    assert halves.add("fraud", half("request", body=b"second"), NOW) is None
    pair = halves.add("fraud", half("response"), NOW)

    assert pair is not None
    assert pair.request.body == b"first"
    assert halves.counts["fraud"] == {"duplicate": 1, "joined": 2}


def test_a_half_that_comes_again_after_the_pair_waits_for_nobody() -> None:
    halves = JoinedHalves(age_s=60)
    halves.add("fraud", half("request"), NOW)
    halves.add("fraud", half("response"), NOW)

    again: tuple[Side, ...] = ("request", "response", "request")
    for side in again:
        assert halves.add("fraud", half(side), NOW + 59) is None

    assert halves.waiting == 0
    assert halves.counts["fraud"] == {"joined": 2, "duplicate": 3}


def test_an_id_may_be_used_again_when_its_pair_is_long_gone() -> None:
    halves = JoinedHalves(age_s=60)
    halves.add("fraud", half("request"), NOW)
    halves.add("fraud", half("response"), NOW)

    assert halves.add("fraud", half("request"), NOW + 61) is None
    assert halves.add("fraud", half("response"), NOW + 61) is not None


def test_what_never_finds_its_half_is_counted_by_which_one_came() -> None:
    halves = JoinedHalves(age_s=60)
    halves.add("fraud", half("request", "a"), NOW)
    halves.add("fraud", half("response", "b"), NOW + 30)

    halves.expire(NOW + 59.9)
    assert halves.counts["fraud"] == {}
    halves.expire(NOW + 60)
    assert halves.counts["fraud"] == {"request_alone": 1}
    halves.expire(NOW + 90)

    assert halves.counts["fraud"] == {"request_alone": 1, "response_alone": 1}
    assert halves.waiting_bytes == 0


def test_too_many_halves_push_the_oldest_out() -> None:
    halves = JoinedHalves(most=2)
    for name in "abc":
        halves.add("fraud", half("request", name), NOW)

    assert halves.counts["fraud"] == {"evicted": 1}
    assert halves.add("fraud", half("response", "b"), NOW) is not None
    assert halves.add("fraud", half("response", "a"), NOW) is None


def test_too_many_bytes_push_the_oldest_out_and_one_too_large_half_itself() -> None:
    halves = JoinedHalves(most_bytes=10)
    halves.add("fraud", half("request", "a", b"x" * 6), NOW)
    halves.add("fraud", half("request", "b", b"x" * 6), NOW)
    assert (halves.waiting, halves.waiting_bytes) == (1, 6)

    halves.add("fraud", half("request", "c", b"x" * 11), NOW)

    assert (halves.waiting, halves.waiting_bytes) == (0, 0)
    assert halves.counts["fraud"] == {"evicted": 3}


def test_a_clock_that_goes_back_keeps_halves_and_loses_none() -> None:
    halves = JoinedHalves(age_s=60)
    halves.add("fraud", half("request"), NOW)

    assert halves.add("fraud", half("response"), NOW - 3600) is not None


SIDES = st.sampled_from(["request", "response"])
STEPS = st.lists(st.tuples(SIDES, st.sampled_from("abcdef"), st.integers(0, 8), st.floats(0, 40)), max_size=60)


@settings(deadline=None, max_examples=200)
@given(STEPS)
def test_every_half_is_counted_exactly_once_whatever_comes(steps: list[tuple[Side, str, int, float]]) -> None:
    halves, now, pairs = JoinedHalves(most=3, most_bytes=16, age_s=60, most_remembered=2), NOW, 0

    for taken, (side, name, size, wait_s) in enumerate(steps, 1):
        now += wait_s
        pairs += halves.add("fraud", half(side, name, b"x" * size), now) is not None
        counts = Counter(halves.counts["fraud"])
        assert counts.total() + halves.waiting == taken
        assert counts["joined"] == 2 * pairs
        assert halves.waiting <= 3
        assert halves.waiting_bytes <= 16
        assert set(counts) <= set(RESULTS)
