from __future__ import annotations

import numpy as np
import pytest

from sidecar.observe.frequent_values import FrequentValues


def test_what_is_frequent_is_kept_whatever_else_streams_by() -> None:
    rng = np.random.default_rng(1)
    values = FrequentValues[str](8)
    for index in rng.permutation(4_000):
        values.add("often" if index % 4 == 0 else f"once {index}", 1)
    assert values.top(1) == ("often",)
    assert len(values.pairs()) == 8


def test_counts_are_never_too_small() -> None:
    rng = np.random.default_rng(2)
    values, truth = FrequentValues[float](5), dict.fromkeys(range(10), 0)
    for value in rng.integers(0, 10, size=500).tolist():
        values.add(float(value), 1)
        truth[value] += 1
    assert all(count >= truth[int(value)] for value, count in values.pairs())


def test_old_values_fade_and_make_room() -> None:
    values = FrequentValues[str](2, [("old", 5), ("rare", 1)])
    values.fade()
    assert values.pairs() == (("old", 2),)
    values.fade()
    values.fade()
    assert values.top(5) == ()


def test_it_survives_its_pairs() -> None:
    values = FrequentValues[str](3, [("a", 3), ("b", 1)])
    assert FrequentValues[str](3, values.pairs()).pairs() == values.pairs()
    with pytest.raises(ValueError, match="at least one"):
        FrequentValues[str](0)
