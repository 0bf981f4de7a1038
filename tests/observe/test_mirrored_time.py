from __future__ import annotations

import random

import pytest

from sidecar.observe.mirrored_time import MirroredTime


def told(*moments: float) -> MirroredTime:
    mirrored = MirroredTime()
    for at in moments:
        mirrored.add(at)
    return mirrored


@pytest.mark.parametrize(
    ("moments", "seconds"),
    [
        ((), 0.0),
        ((100.0,), 0.0),
        ((100.0, 160.0), 60.0),
        ((100.0, 160.1), 0.0),
        ((100.0, 130.0, 1000.0, 1010.0), 40.0),
        ((100.0, 90.0, 95.0), 10.0),  # exchanges end out of order
        ((100.0, 220.0, 160.0), 120.0),  # a late one closes the gap
        ((100.0, 100.0), 0.0),
    ],
)
def test_only_time_in_which_copies_flowed_counts(moments: tuple[float, ...], seconds: float) -> None:
    assert told(*moments).seconds == pytest.approx(seconds)


def test_two_replicas_at_the_same_time_count_once() -> None:
    left, right = told(0.0, 50.0, 100.0), told(20.0, 70.0, 120.0)
    left.merge(right)
    assert left.seconds == 120.0


def test_the_order_of_exchanges_and_merges_does_not_matter() -> None:
    rng = random.Random(3)
    moments = [rng.uniform(0, 40_000) for _ in range(600)]
    whole = told(*sorted(moments))
    parts = [told(*moments[:200]), told(*moments[200:300]), told(*moments[300:])]
    left, right = MirroredTime(), MirroredTime()
    for part in parts:
        left.merge(part)
    for part in reversed(parts):
        right.merge(part)
    assert left.spans == right.spans == whole.spans
    assert 0 < whole.seconds < 40_000


def test_many_spans_become_a_sum_that_loses_no_time() -> None:
    mirrored = MirroredTime()
    for burst in range(12_000):
        mirrored.add(burst * 1000.0)
        mirrored.add(burst * 1000.0 + 2.0)
    assert len(mirrored.spans) <= 10_000
    assert mirrored.seconds == 24_000.0
