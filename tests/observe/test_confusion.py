from __future__ import annotations

import random

import pytest

from sidecar.observe.confusion import OTHER, Confusion


def counted(*pairs: tuple[str, str]) -> Confusion:
    labels = Confusion()
    for pair in pairs:
        labels.add(*pair)
    return labels


def test_kappa_is_the_agreement_beyond_chance() -> None:
    pairs = [("1", "1")] * 20 + [("1", "0")] * 5 + [("0", "1")] * 10 + [("0", "0")] * 15
    assert counted(*pairs).kappa() == pytest.approx(0.4)  # Cohen's own way of an example: 0.70 beside 0.50
    assert counted(("1", "1")).kappa() is None
    assert Confusion().kappa() is None


def test_the_most_frequent_pairs_come_first() -> None:
    labels = counted(("a", "b"), ("a", "a"), ("a", "a"), ("b", "a"))
    assert labels.most() == (("a", "a", 2), ("a", "b", 1), ("b", "a", 1))
    assert labels.flips() == {"a→b": 1, "b→a": 1}


def test_labels_without_end_are_bounded_and_then_kappa_is_not_told() -> None:
    labels = Confusion()
    for number in range(3_000):
        labels.add(str(number), str(number))
        labels.add("x" * 100, str(number))
    assert len(labels.cells()) <= 402
    assert labels.kappa() is None
    assert sum(labels.flips().values()) == 3_000
    assert labels.flips()[OTHER] > 2_000
    assert max(len(one) for one, _, _ in labels.cells()) == 40


def test_merging_is_free_of_order_and_what_is_stored_comes_back() -> None:
    rng = random.Random(1)
    pairs = [(rng.choice("abc"), rng.choice("abc")) for _ in range(200)]
    one, two = counted(*pairs[:80]), counted(*pairs[80:])
    one.merge(two)
    assert one.most() == counted(*pairs).most() == Confusion(counted(*reversed(pairs)).cells()).most()
