from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.stats.catalogue import SCALES, Figures, Transform, function, transforms_for
from sidecar.stats.named_functions import FUNCTIONS


def test_every_factor_has_its_inverse() -> None:
    factors = [transform.factor for transform in SCALES]
    for factor in factors:
        assert any(math.isclose(factor * other, 1.0) for other in factors)
    assert len(set(factors)) == len(factors)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(0.01, "cents become euros"), (100.0, "euros become cents"), (1000.0, "seconds become milliseconds")],
)
def test_a_unit_says_what_became_what(factor: float, words: str) -> None:
    (transform,) = (scale for scale in SCALES if scale.factor == factor)
    assert transform.says == f"live = {factor:g} × trained (as when {words})"


def test_an_offset_is_part_of_the_formula() -> None:
    assert Transform("affine", 1.8, 32.0).says == "live = 1.8 × trained + 32"
    assert Transform("affine", 1.0, -273.15).says == "live = 1 × trained − 273.15"


@pytest.mark.parametrize(
    ("low", "high", "likely", "ends"),
    [
        (-20.0, 40.0, {32.0, 273.15, -160 / 9, 273.15 - 160 / 9}, set()),
        (280.0, 300.0, {-273.15, -459.67, -160 / 9, 273.15 - 160 / 9}, set()),
        (0.0, 1.0, {32.0, 273.15, -160 / 9, 273.15 - 160 / 9}, {1.0}),
        (0.0, 100.0, {32.0, 273.15, -160 / 9, 273.15 - 160 / 9}, {100.0}),
        (0.0, 1e6, set(), set()),
    ],
)
def test_temperatures_are_rare_beyond_their_range_and_ends_belong_to_shares(
    low: float, high: float, likely: set[float], ends: set[float]
) -> None:
    offered = [made for made in transforms_for(np.linspace(low, high, 512)) if made.kind == "affine"]
    assert {made.offset for made in offered if made.factor > 0 and not made.rare} == likely
    assert {made.offset for made in offered if made.factor < 0} == ends


def test_scalers_use_the_figures_of_training() -> None:
    figures = Figures(mean=50.0, sd=4.0, minimum=10.0, maximum=90.0)
    scalers = {m.name: m for m in transforms_for(np.linspace(10.0, 90.0, 512), figures) if m.kind == "scaler"}
    values = np.array([50.0, 54.0, 90.0])
    assert scalers["standardised"].apply(values).tolist() == [0.0, 1.0, 10.0]
    assert scalers["standardised twice"].apply(values) == pytest.approx((np.array([0.0, 1.0, 10.0]) - 50) / 4)
    assert scalers["min-max"].apply(values).tolist() == [0.5, 0.55, 1.0]
    assert scalers["by the variance"].apply(values).tolist() == [0.0, 0.25, 2.5]


def test_a_column_without_spread_has_no_scaler() -> None:
    offered = transforms_for(np.full(512, 7.0))
    assert not [made for made in offered if made.kind == "scaler"]


@pytest.mark.parametrize(
    ("low", "high", "absent"),
    [
        (-5.0, 5.0, {"ln", "log10", "sqrt", "log1p"}),
        (1.0, 1000.0, {"abs", "exp", "exp10"}),
        (0.001, 1.0, {"abs"}),
    ],
)
def test_functions_are_offered_where_they_are_defined(low: float, high: float, absent: set[str]) -> None:
    names = {made.name for made in transforms_for(np.linspace(low, high, 512)) if made.kind == "function"}
    assert not names & absent
    assert "square" in names


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if FUNCTIONS[name].undo is not None])
def test_what_can_be_undone_comes_back(name: str) -> None:
    values = np.array([0.25, 1.0, 3.5, 20.0])
    back = function(name).undo(function(name).apply(values))
    assert back == pytest.approx(values)


@pytest.mark.parametrize("name", ["abs", "round", "truncate", "clip above", "clip below"])
def test_what_lost_something_cannot_be_undone(name: str) -> None:
    assert function(name, 1.0).undo(np.array([1.0])) is None


def test_outside_of_its_domain_a_function_is_no_number_and_no_warning() -> None:
    assert np.isnan(function("ln").apply(np.array([-1.0, 0.0]))).all()
    assert np.isnan(function("exp").apply(np.array([1e6]))).all()
    assert np.isnan(function("reciprocal").apply(np.array([0.0]))).all()


def test_a_function_says_its_formula_and_no_limit() -> None:
    assert function("ln").says == "live = ln(x), x as trained (the natural logarithm was taken)"
    assert "250" not in function("clip above", 250.0).says
