from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from registry_client.baseline import FeatureBaseline
from registry_client.from_columns import build_baseline
from registry_client.log_histogram import LogHistogram
from sidecar.observe.feature_cause import Moved
from sidecar.observe.swapped import swaps_in

RNG = np.random.default_rng(6)
COLUMNS: dict[str, list[object]] = {
    "temperature": RNG.normal(15.0, 8.0, 6_000).tolist(),
    "pressure": RNG.normal(1_013.0, 9.0, 6_000).tolist(),
    "city": RNG.choice(["Bonn", "Kyiv", "Lima"], size=6_000).tolist(),
    "colour": RNG.choice(["red", "green", "blue"], size=6_000).tolist(),
    "shape": RNG.choice(["round", "square"], size=6_000).tolist(),
}
BASELINE = build_baseline(
    {name: column[:5_000] for name, column in COLUMNS.items()}, now=datetime(2026, 1, 1, tzinfo=UTC)
)


def _moved(name: str, column: Sequence[object]) -> tuple[FeatureBaseline, Moved]:
    baseline = BASELINE.by_name[name]
    numbers = LogHistogram()
    numbers.update([value for value in column if isinstance(value, float)])
    known = {*baseline.categories, *baseline.tail}
    unseen = sorted({str(value) for value in column} - known) if baseline.kind == "categorical" else []
    return baseline, Moved(baseline.cells.count(column), numbers, (), tuple(unseen), None)


def _live(name: str) -> list[object]:
    return COLUMNS[name][5_000:]


def _swapped(pairs: Mapping[str, str]) -> dict[str, tuple[FeatureBaseline, Moved]]:
    return {name: _moved(name, _live(source)) for name, source in pairs.items()}


def test_two_numeric_features_in_each_others_place_are_named() -> None:
    found = swaps_in(_swapped({"temperature": "pressure", "pressure": "temperature"}))
    assert {name: (cause.kind, cause.with_, cause.share) for name, cause in found.items()} == {
        "temperature": ("swap", "pressure", 1.0),
        "pressure": ("swap", "temperature", 1.0),
    }
    assert found["temperature"].says == "the values are those of pressure"


def test_two_categorical_features_in_each_others_place_are_named() -> None:
    found = swaps_in(_swapped({"city": "colour", "colour": "city", "shape": "shape"}))
    assert {name: cause.with_ for name, cause in found.items()} == {"city": "colour", "colour": "city"}
    assert found["city"].share == 1.0


def test_one_sided_likeness_is_no_swap() -> None:
    assert swaps_in(_swapped({"temperature": "pressure", "pressure": "pressure"})) == {}
    assert swaps_in(_swapped({"city": "colour", "colour": "colour"})) == {}
    assert swaps_in(_swapped({"city": "colour", "colour": "shape", "shape": "city"})) == {}


def test_one_feature_alone_or_none_is_no_swap() -> None:
    assert swaps_in({}) == {}
    assert swaps_in(_swapped({"temperature": "pressure"})) == {}
    assert swaps_in({"temperature": _moved("temperature", []), "pressure": _moved("pressure", [])}) == {}
