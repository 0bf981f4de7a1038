from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.mixture_fit import live_counts
from sidecar.stats.swaps import MovedColumn, sources

Floats = NDArray[np.float64]
RNG = np.random.default_rng(11)
COLUMNS: dict[str, Floats] = {
    "temperature": RNG.normal(15.0, 8.0, 6_000),
    "pressure": RNG.normal(1_013.0, 9.0, 6_000),
    "amount": np.exp(RNG.normal(4.0, 1.0, 6_000)),
}


def _moved(name: str, live: Floats) -> MovedColumn:
    atoms = np.quantile(COLUMNS[name][:5_000], (np.arange(512) + 0.5) / 512)
    return MovedColumn(atoms, live_counts(live, np.ones(live.size), 0), 5_000, 0.005)


def _live(name: str) -> Floats:
    return COLUMNS[name][5_000:]


def _mixed(name: str, other: str, share: float, seed: int = 2) -> Floats:
    switched = np.random.default_rng(seed).random(1_000) < share
    return np.where(switched, _live(other), _live(name))


def test_two_columns_in_each_others_place_are_found() -> None:
    moved = {"amount": _moved("amount", _live("pressure")), "pressure": _moved("pressure", _live("amount"))}
    assert sources(moved) == {"amount": "pressure", "pressure": "amount"}


def test_they_are_found_where_part_of_the_rows_switched() -> None:
    moved = {
        "amount": _moved("amount", _mixed("amount", "pressure", 0.3)),
        "pressure": _moved("pressure", _mixed("pressure", "amount", 0.3)),
    }
    assert sources(moved) == {"amount": "pressure", "pressure": "amount"}


def test_three_columns_that_moved_round_are_found() -> None:
    moved = {
        "temperature": _moved("temperature", _live("pressure")),
        "pressure": _moved("pressure", _live("amount")),
        "amount": _moved("amount", _live("temperature")),
    }
    assert sources(moved) == {"temperature": "pressure", "pressure": "amount", "amount": "temperature"}


def test_one_column_that_looks_like_another_is_no_swap() -> None:
    moved = {
        "temperature": _moved("temperature", _live("amount")),
        "amount": _moved("amount", _live("amount") * 100),
    }
    assert sources(moved) == {}


def test_shares_that_differ_are_no_swap() -> None:
    moved = {
        "amount": _moved("amount", _mixed("amount", "pressure", 0.9)),
        "pressure": _moved("pressure", _mixed("pressure", "amount", 0.3)),
    }
    assert sources(moved) == {}


def test_columns_that_are_alike_cannot_have_changed_places() -> None:
    twin = COLUMNS["temperature"] + 0.1
    atoms = np.quantile(twin[:5_000], (np.arange(512) + 0.5) / 512)
    moved = {
        "temperature": _moved("temperature", _live("temperature") * 1.5),
        "twin": MovedColumn(atoms, live_counts(twin[5_000:] * 1.5, np.ones(1_000), 0), 5_000, 0.005),
    }
    assert sources(moved) == {}


def test_nothing_comes_of_one_column_or_none() -> None:
    assert sources({}) == {}
    assert sources({"amount": _moved("amount", _live("pressure"))}) == {}
