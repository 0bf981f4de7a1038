from __future__ import annotations

import pytest

from sidecar.wire.body_rate import GRACE_S, allowed_s


@pytest.mark.parametrize(
    ("received", "rate", "allowed"),
    [(0, 0, 60.0), (10**9, 0, 60.0), (0, 100, GRACE_S), (1000, 100, GRACE_S + 10), (10**9, 100, 60.0)],
)
def test_a_body_has_the_time_that_it_earned_and_never_more_than_the_limit(
    received: int, rate: int, allowed: float
) -> None:
    assert allowed_s(received, rate, 60.0) == allowed


def test_one_that_keeps_up_the_rate_is_never_late() -> None:
    assert all(second <= allowed_s(second * 100, 100, 1000.0) for second in range(1000))


def test_one_that_keeps_half_the_rate_is_let_go_after_twice_the_grace() -> None:
    late = next(second for second in range(1000) if second > allowed_s(second * 50, 100, 1000.0))
    assert late == int(2 * GRACE_S) + 1
