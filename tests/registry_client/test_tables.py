"""Real pandas, polars and Arrow tables give the baseline of the values that are in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from registry_client import build_baseline, from_json, to_json
from registry_client.summary import merge, summarise

pa: Any = import_module("pyarrow")  # it ships no types

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = 400
BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def values() -> dict[str, list[Any]]:
    """The rows as plain Python values, with gaps where a table may have them."""
    rng = np.random.default_rng(11)
    score = rng.random(ROWS)
    return {
        "amount": [None if n % 17 == 0 else round(value, 2) for n, value in enumerate(rng.lognormal(3, 1, ROWS))],
        "items": [None if n % 23 == 0 else int(value) for n, value in enumerate(rng.poisson(4, ROWS))],
        "country": [None if n % 31 == 0 else ("DE", "FR", "it's", "Österreich")[n % 4] for n in range(ROWS)],
        "member": [bool(n % 3) for n in range(ROWS)],
        "born": [date(1990 + n % 3, 1, 1) for n in range(ROWS)],
        "price": [Decimal(n % 50) / 4 for n in range(ROWS)],
        "at": [BEGIN + timedelta(hours=6 * n) for n in range(ROWS)],
        "score": score.tolist(),
        "fraud": (rng.random(ROWS) < score).astype(int).tolist(),
    }


def plain_pandas() -> Any:
    return pd.DataFrame(values())


def nullable_pandas() -> Any:
    frame = pd.DataFrame(values())
    return frame.astype({"items": "Int64", "country": "category", "member": "boolean", "amount": "Float64"})


def arrow_backed_pandas() -> Any:
    return pa.table(values()).to_pandas(types_mapper=pd.ArrowDtype)


def in_polars() -> Any:
    return pl.DataFrame(values())


def polars_of_categories() -> Any:
    return pl.DataFrame(values()).with_columns(pl.col("country").cast(pl.Categorical))


def in_arrow() -> Any:
    return pa.table(values())


def arrow_of_chunks() -> Any:
    table = pa.table(values())
    countries = table.column("country").dictionary_encode()
    table = table.set_column(table.column_names.index("country"), "country", countries)
    return pa.concat_tables([table.slice(0, 7), table.slice(7, 200), table.slice(207)])


TABLES = [
    plain_pandas,
    nullable_pandas,
    arrow_backed_pandas,
    in_polars,
    polars_of_categories,
    in_arrow,
    arrow_of_chunks,
]


@pytest.mark.parametrize("made", TABLES)
def test_a_table_gives_the_baseline_of_its_values(made: Callable[[], Any]) -> None:
    roles: dict[str, Any] = {"prediction": "score", "outcome": "fraud", "time": "at"}

    built = build_baseline(made(), **roles, now=NOW)
    expected = build_baseline(values(), **roles, now=NOW)

    assert [feature.name for feature in built.features] == ["amount", "items", "country", "member", "born", "price"]
    assert {f.name: f for f in built.features} == {f.name: f for f in expected.features}
    assert built == expected
    assert from_json(to_json(built)) == built


@pytest.mark.parametrize("made", TABLES)
def test_what_the_values_are_is_read_alike_from_every_table(made: Callable[[], Any]) -> None:
    by_name = build_baseline(made(), prediction="score", outcome="fraud", time="at", now=NOW).by_name

    kinds = {name: feature.kind for name, feature in by_name.items()}
    assert kinds == {
        "amount": "numeric",
        "items": "numeric",
        "country": "categorical",
        "member": "categorical",
        "born": "categorical",
        "price": "numeric",
    }
    assert (by_name["amount"].missing, by_name["items"].missing, by_name["country"].missing) == (24, 18, 13)
    assert sorted(by_name["member"].categories) == ["false", "true"]
    assert by_name["born"].categories == ("1990-01-01", "1991-01-01", "1992-01-01")
    assert by_name["items"].integers_share == 1.0
    assert (by_name["price"].minimum, by_name["price"].maximum) == (0.0, 12.25)


def test_parts_of_tables_of_different_libraries_merge() -> None:
    half = ROWS // 2
    parts = [summarise(plain_pandas().iloc[:half], time="at"), summarise(in_polars()[half:], time="at")]

    merged = merge(parts).baseline(now=NOW)

    assert merged == build_baseline(in_arrow(), time="at", now=NOW)
