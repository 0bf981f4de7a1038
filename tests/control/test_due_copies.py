from __future__ import annotations

import pytest

from sidecar.control.due_copies import DueCopies
from sidecar.decide.routing_table import copied
from tests.control.live_samples import URLS, deployment, state


def test_what_is_due_is_what_the_workers_copy() -> None:
    half = deployment(challengers=[{"version": "4", "url": URLS["4"], "fraction": 0.5}])
    copies = DueCopies(half, state())
    ids = [f"id-{number}" for number in range(200)]
    assert [copies.due("4", one) for one in ids] == [copied(one.encode(), 0.5) for one in ids]
    assert 60 < sum(copies.due("4", one) for one in ids) < 140
    assert not copies.due("9", "id-1")


@pytest.mark.parametrize(("fraction", "due"), [(1.0, True), (0.5, False), (0.0, False)])
def test_where_a_header_decides_nothing_is_called_due_but_all_of_all(fraction: float, due: bool) -> None:
    sticky = deployment(sticky="x-user", challengers=[{"version": "4", "url": URLS["4"], "fraction": fraction}])
    assert any(DueCopies(sticky, state()).due("4", f"id-{number}") for number in range(50)) == due


@pytest.mark.parametrize(
    ("challenger", "same"),
    [
        ({"url": URLS["3"]}, True),
        ({"url": URLS["3"], "path": "/other"}, False),
        ({"url": URLS["4"]}, False),
    ],
)
def test_a_challenger_at_the_champions_own_address_is_a_self_test(challenger: dict[str, str], same: bool) -> None:
    copies = DueCopies(deployment(challengers=[{"version": "4", **challenger}]), state())
    assert copies.self_test("4") == same
