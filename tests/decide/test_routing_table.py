from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decide.router import Router
from sidecar.decide.routing_table import Destination, Route, RoutingTable, copied
from tests.proxy.scripted import BOUNDS

HERE = Destination("3", "127.0.0.1", 80, "", None)


def router(*matches: str) -> Router[Route]:
    routes = tuple(Route(m, m.removesuffix("*"), m.endswith("*"), "auto", 1, HERE, ()) for m in matches)
    return Router([(route, route) for route in routes])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/a/infer", "/a/infer"),
        (b"/a/infer/", "/a/*"),
        (b"/a/", "/a/*"),
        (b"/a/b/c", "/a/b/*"),
        (b"/a", None),
        (b"/A/infer", None),
        (b"/", None),
        (b"*", None),
        (b"", None),
        (b"/a/\xff", "/a/*"),
    ],
)
def test_an_exact_path_wins_then_the_longest_prefix(path: bytes, found: str | None) -> None:
    route = router("/a/*", "/a/infer", "/a/b/*").find(path)
    assert (route.deployment if route else None) == found


@given(st.binary(min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_copies_everything_that_a_smaller_one_does(key: bytes, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert copied(key, high) or not copied(key, low)
    assert copied(key, one) == copied(key, one)


def test_all_none_and_about_the_share_in_between() -> None:
    ids = [b"0123456789abcdef-%08x" % number for number in range(4000)]
    assert all(copied(key, 1.0) for key in ids)
    assert not any(copied(key, 0.0) for key in ids)
    assert abs(sum(copied(key, 0.25) for key in ids) / 4000 - 0.25) < 0.03


@pytest.mark.parametrize(
    ("destination", "authority"),
    [
        (HERE, "127.0.0.1:80"),
        (Destination("3", "::1", 8000, "", None), "[::1]:8000"),
        (Destination("3", "", 0, "/run/m.sock", None), "localhost"),
    ],
)
def test_a_destination_knows_what_stands_in_host(destination: Destination, authority: str) -> None:
    assert destination.authority == authority


def test_a_table_comes_back_from_disk_as_it_was() -> None:
    table = RoutingTable(3, (Route("d", "/d", False, "oip", 2, HERE, ()),), HERE, BOUNDS)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(table), type=RoutingTable) == table
