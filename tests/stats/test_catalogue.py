from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.stats.catalogue import SCALES, Transform, transforms_for


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
    ("low", "high", "offsets"),
    [
        (-20.0, 40.0, {32.0, 273.15, -160 / 9, 273.15 - 160 / 9}),
        (280.0, 300.0, {-273.15, -459.67, -160 / 9, 273.15 - 160 / 9}),
        (0.0, 1.0, {32.0, 273.15, 1.0, -160 / 9, 273.15 - 160 / 9}),
        (0.0, 100.0, {32.0, 273.15, 100.0, -160 / 9, 273.15 - 160 / 9}),
        (0.0, 1e6, set()),
    ],
)
def test_only_what_can_apply_to_the_range_is_offered(low: float, high: float, offsets: set[float]) -> None:
    offered = transforms_for(np.linspace(low, high, 512))
    assert {transform.offset for transform in offered if transform.kind == "affine"} == offsets
    assert {transform.kind for transform in offered} >= {"scale", "sign"}
