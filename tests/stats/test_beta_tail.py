from __future__ import annotations

import math

import pytest
from scipy.integrate import quad
from scipy.special import betaincc, betaln

from sidecar.stats.beta_tail import log_beta_tail


@pytest.mark.parametrize(("a", "b", "limit"), [(1, 1, 0.5), (3, 8, 0.2), (8, 3, 0.2), (0.5, 0.5, 0.9), (40, 60, 0.5)])
def test_the_tail_is_the_integral(a: float, b: float, limit: float) -> None:
    expected, _ = quad(lambda p: p ** (a - 1) * (1 - p) ** (b - 1), limit, 1)
    assert log_beta_tail(a, b, limit) == pytest.approx(math.log(expected), rel=1e-6)


def test_the_series_continues_the_tail_where_floats_end() -> None:
    # Just above the switch both forms can be computed; beyond it only the series can.
    for b in (600.0, 640.0, 660.0):
        if betaincc(3.0, b, 0.5) > 1e-300:
            exact = float(betaln(3.0, b)) + math.log(betaincc(3.0, b, 0.5))
            assert log_beta_tail(3.0, b, 0.5) == pytest.approx(exact, rel=1e-12)
    assert betaincc(3.0, 5_000.0, 0.5) == 0.0
    leading = -3.0 * math.log(2) - 5_000.0 * math.log(2) - math.log(5_000.0)
    assert leading < log_beta_tail(3.0, 5_000.0, 0.5) < leading + math.log(2.01)


@pytest.mark.parametrize(("a", "b", "limit"), [(0, 1, 0.5), (1, 0, 0.5), (1, 1, 0), (1, 1, 1), (math.nan, 1, 0.5)])
def test_arguments_without_a_tail_are_refused(a: float, b: float, limit: float) -> None:
    with pytest.raises(ValueError, match="Beta tail"):
        log_beta_tail(a, b, limit)
