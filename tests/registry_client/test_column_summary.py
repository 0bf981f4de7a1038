from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from registry_client.column_summary import ColumnSummary
from registry_client.value_rows import column_of_values

GENERATOR = np.random.default_rng(4)


def read(values: Any) -> ColumnSummary:
    return column_of_values("x", values)


def merged(*parts: Any) -> ColumnSummary:
    return ColumnSummary.combined([(read(part), (0,)) for part in parts], 1)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (([1], [2], [3]), "numeric"),
        (([1], [2], [1]), "categorical"),
        (([0, 1], [None]), "categorical"),
        (([1], [2.5]), "numeric"),
        (([1.0], [None]), "numeric"),
        (([None], [None]), "categorical"),
        (([math.inf], [-math.inf]), "categorical"),
        (([math.inf], [1.0]), "numeric"),
        (([1, 2, 3], ["x"]), "categorical"),
        (([1, 2, 3], [True]), "categorical"),
        (([2**60], [2**60 + 1]), "categorical"),
        (([2**60], [2**60 + 1], [2**60 + 2]), "numeric"),
    ],
)
def test_the_kind_follows_from_the_values_of_all_parts(parts: tuple[list[Any], ...], kind: str) -> None:
    assert merged(*parts).feature("x").kind == kind
    assert merged(*parts[::-1]).feature("x") == merged(*parts).feature("x")


def test_a_numeric_column_carries_the_figures_of_its_values() -> None:
    values = GENERATOR.normal(50, 7, 40_000).round(1)
    halves = merged([*values[:100], None, math.nan, math.inf], np.append(values[100:], -math.inf))
    feature = halves.feature("x", importance=0.5)
    assert (feature.n, feature.missing, feature.wrong_type, feature.importance) == (40_004, 2, 0, 0.5)
    assert (feature.minimum, feature.maximum) == (values.min(), values.max())
    assert feature.mean == pytest.approx(float(values.mean()))
    assert feature.sd == pytest.approx(float(values.std()))
    assert feature.integers_share == pytest.approx(float(np.mean(values == np.trunc(values))))
    assert (feature.counts[0], feature.counts[-3]) == (1, 1)
    assert set(feature.quantiles) <= set(values.tolist())
    assert halves.rows == 40_004


def test_infinities_alone_are_categories_by_their_names() -> None:
    feature = read([math.inf, math.inf, -math.inf, None]).feature("x")
    assert (feature.categories, feature.counts[:2], feature.missing) == (("inf", "-inf"), (2, 1), 1)


def test_each_block_is_compared_with_the_whole_in_the_frozen_cells() -> None:
    pieces = [(read(GENERATOR.normal(day % 2, 1, 5_000)), (day,)) for day in range(8)]
    together = ColumnSummary.combined(pieces, 8)
    varied = together.feature("x", range(8))
    assert (varied.blocks, together.feature("x").blocks) == (8, 0)
    assert varied.natural_variation == pytest.approx(0.125, rel=0.3)
    assert varied.overdispersion > 10
    assert together.feature("x", range(2)).blocks == 0


def test_blocks_of_categories_are_compared_too() -> None:
    pieces = [(read(["a"] * (100 + day * 50) + ["b"] * 200 + [None]), (day,)) for day in range(5)]
    feature = ColumnSummary.combined(pieces, 5).feature("x", range(5))
    assert feature.blocks == 5
    assert feature.natural_variation > 0.01
    assert feature.overdispersion > 1.0


def test_values_are_counted_by_text_where_they_can_be_named() -> None:
    tally = merged([1, 2], ["x", None], [0.5]).tally()
    assert tally is not None
    assert (dict(tally.texts), tally.missing) == ({"1": 1, "2": 1, "x": 1, "0.5": 1}, 1)
    assert read(GENERATOR.random(9_000)).tally() is None
