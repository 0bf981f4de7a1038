from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.stats.alignment import aligned, repeats

Floats = NDArray[np.float64]


def _distances(rng: np.random.Generator) -> Floats:
    """A column of 60 different values, some of them in many rows."""
    values = np.sort(rng.choice(np.arange(80.0, 5_000.0), 60, replace=False))
    return np.sort(rng.choice(values, 512, p=rng.dirichlet(np.full(60, 2.0))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("off", [0.99, 0.995, 1.005, 1.01])
def test_a_line_that_is_one_per_cent_off_is_put_on_the_values_that_were_seen(seed: int, off: float) -> None:
    trained = _distances(np.random.default_rng(seed))
    factor, offset = 1 / 4_966.0, -17.0 / 4_966.0
    seen = np.unique(factor * trained + offset)
    half = factor * float(np.subtract(*np.quantile(trained, [0.75, 0.25])))
    found = aligned(trained, seen, (factor * off, offset), half)
    apart = np.abs(found[0] * trained + found[1] - factor * trained - offset)
    assert np.median(apart) <= 0.004 * half


def test_a_factor_keeps_its_offset() -> None:
    trained = _distances(np.random.default_rng(1))
    factor, offset = aligned(trained, np.unique(0.0254 * trained), (0.0256, 0.0), 20.0, through_zero=True)
    assert factor == pytest.approx(0.0254, rel=2e-3)
    assert offset == 0.0


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        ([], (1.0, 0.0)),
        ([5.0], (1.0, 0.0)),
        ([1e9, 2e9], (1.0, 0.0)),
        ([1.0, 2.0], (0.0, 0.0)),
        ([1.0, 2.0], (-1.0, 0.0)),
    ],
)
def test_where_nothing_lands_the_line_stays_as_it_was(seen: list[float], line: tuple[float, float]) -> None:
    trained = _distances(np.random.default_rng(2))
    assert aligned(trained, np.array(seen), line, 1.0) == line


def test_a_line_does_not_wander_far() -> None:
    trained = _distances(np.random.default_rng(3))
    dense = np.linspace(0.0, 10_000.0, 4_000)
    factor, _ = aligned(trained, dense, (1.0, 0.0), 2_000.0)
    assert factor == pytest.approx(1.0, rel=0.1)


def test_continuous_columns_have_no_values_to_land_on() -> None:
    rng = np.random.default_rng(4)
    assert not repeats(np.sort(rng.normal(size=512)))
    assert repeats(_distances(rng))
