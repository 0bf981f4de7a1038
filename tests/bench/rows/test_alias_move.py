"""The row about aliases: what each move took becomes figures."""

from __future__ import annotations

import pytest

from bench.rows.alias_move import BY_POLL, BY_WEBHOOK, LIMIT_S, POLL_S, judged


@pytest.mark.parametrize(
    ("polled", "told", "met"), [(2.9, 1.9, [True, True]), (3.1, 1.9, [False, True]), (2.9, 2.1, [True, False])]
)
def test_the_slowest_move_of_a_round_is_judged(polled: float, told: float, met: list[bool]) -> None:
    found = judged({BY_POLL: [[0.5, polled, 1.0], [polled]], BY_WEBHOOK: [[told, 0.4], [told]]})

    assert [one.met for one in found.findings] == met
    assert found.tables[0].rows[0][0] == BY_POLL


def test_the_limit_is_the_issues() -> None:
    assert LIMIT_S == POLL_S + 2.0
