from __future__ import annotations

import numpy as np
import pytest

from bench.drift.many_streams import ManyStreams, same_as_product


@pytest.mark.parametrize("moved", [0.0, 0.2])
def test_many_streams_at_once_are_what_the_product_gives_for_each(moved: float) -> None:
    rng = np.random.default_rng(10)
    shares = rng.dirichlet(np.full(12, 4.0))
    other = np.roll(shares, 1) * moved + shares * (1 - moved)
    counts = np.concatenate([rng.multinomial(100, shares, size=(30, 2)), rng.multinomial(100, other, size=(10, 2))])
    # Sessions of four rows make the counts over-dispersed, which both must see alike.
    assert same_as_product(rng.multinomial(20_000, shares), 0.005, counts) < 1e-9
    assert same_as_product(rng.multinomial(20_000, shares), 0.005, 4 * counts, ordered=9) < 1e-9


def test_a_change_raises_every_stream() -> None:
    many = ManyStreams(np.array([5_000, 5_000]), 0.005, 2)
    calm = many.close(np.array([[50, 50], [48, 52]]))
    loud = many.close(np.array([[95, 5], [5, 95]]))
    assert (loud > calm + 10).all()
