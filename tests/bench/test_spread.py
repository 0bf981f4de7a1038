"""Values of rounds summed up."""

from __future__ import annotations

import doctest

import pytest

from bench import interleaving, open_loop
from bench import spread as module
from bench.interleaving import interleaved
from bench.spread import Spread, difference, ratio, spread


@pytest.mark.parametrize("tested", [module, interleaving, open_loop])
def test_the_docstrings_examples_hold(tested: object) -> None:
    found = doctest.testmod(tested)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


def test_a_spread_is_the_median_with_least_and_most() -> None:
    assert spread([50, 120, 80]) == Spread(80, 50, 120)


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ratio([50, 120, 80], [100, 200, 100]) == Spread(0.6, 0.5, 0.8)  # the medians' own ratio would be 0.8


def test_a_difference_is_taken_within_each_round() -> None:
    assert difference([5.0, 9.0, 7.0], [4.0, 2.0, 5.0]) == Spread(2.0, 1.0, 7.0)


def test_rounds_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_every_contender_comes_once_a_round_and_each_begins_one() -> None:
    names = ["a", "b", "c"]
    order = list(interleaved(names, 3))
    rounds = [order[place : place + 3] for place in (0, 3, 6)]
    assert [sorted(one) for one in rounds] == [names] * 3
    assert [one[0] for one in rounds] == names
