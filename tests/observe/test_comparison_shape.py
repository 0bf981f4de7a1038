from __future__ import annotations

import math

from sidecar.observe.comparison import ComparisonObserver
from sidecar.records import Answer, Exchange, Leg, Prediction

OK = Answer(200, "application/json", "", b"{}")


def seen(*scores: tuple[float, float], latency_s: float = 0.02) -> ComparisonObserver:
    """Both versions' scores, a row each request."""
    found = ComparisonObserver("3", "4", score_tolerance=0.01, now=1000.0)
    for place, (champion, challenger) in enumerate(scores):
        exchange = Exchange(
            request_id=str(place), deployment="fraud", generation=1, at=1000.0 + place, path="/", content_type="",
            content_encoding="", body=b"", body_complete=True, shadows=(),
            champion=Leg(version="3", answer=OK, error=None, dropped=None, latency_s=0.01),
        )  # fmt: skip
        leg = Leg(version="4", answer=OK, error=None, dropped=None, latency_s=latency_s)
        one, two = (Prediction(labels=None, scores=(score,)) for score in (champion, challenger))
        found.fold(exchange, leg, one, two)
    return found


def test_every_row_lies_in_a_joint_cell_and_in_a_cell_of_the_difference() -> None:
    shape = seen((0.2, 0.3), (0.2, 0.3), (0.9, 0.1), (0.0, 0.0)).shape()
    assert sum(cell[4] for cell in shape.scores) == 4
    assert [low <= 0.9 <= high for low, high, *_ in shape.scores].count(True) == 1
    assert sum(count for _, _, count in shape.differences) == 4
    assert (0.0, 0.0, 1) in shape.differences
    low, high, count = shape.differences[0]
    assert low <= -0.8 <= high
    assert count == 1


def test_latencies_are_those_of_each_version_in_milliseconds() -> None:
    shape = seen((0.5, 0.5), (0.5, 0.5)).shape()
    for cells, latency_ms in ((shape.latency_champion, 10.0), (shape.latency_challenger, 20.0)):
        ((low, high, count),) = cells
        assert low <= latency_ms <= high
        assert count == 2


def test_what_is_not_finite_is_in_no_cell_and_nothing_seen_is_nothing() -> None:
    shape = seen((0.5, math.inf), (math.nan, 0.5)).shape()
    assert shape.scores == ()
    assert all(math.isfinite(bound) for cell in shape.differences for bound in cell[:2])
    nothing = seen().shape()
    assert (nothing.scores, nothing.differences, nothing.latency_champion, nothing.latency_challenger) == ((),) * 4
