from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.log_histogram import LogHistogram
from sidecar.reports import Cause
from sidecar.stats.catalogue import Figures
from sidecar.stats.naming import name_cause

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def _whole(values: Floats, digits: int = 0) -> Floats:
    return np.asarray(np.round(values, digits), dtype=np.float64)


def _amounts(rng: np.random.Generator, n: int) -> Floats:
    return _whole(np.exp(rng.normal(8.0, 1.0, n)))


def _temperatures(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(15.0, 8.0, n)


FEATURES: dict[str, Draw] = {
    "amounts": _amounts,
    "prices": lambda rng, n: _whole(np.exp(rng.normal(3.5, 1.2, n)), 2),
    "counts": lambda rng, n: rng.poisson(30, n).astype(float),
    "few integers": lambda rng, n: rng.poisson(3, n).astype(float),
    "temperatures": _temperatures,
    "shares": lambda rng, n: rng.random(n),
    "errors": lambda rng, n: rng.normal(0.0, 3.0, n),
    "durations": lambda rng, n: np.floor(rng.exponential(20.0, n)),
}


def _name(trained: Floats, live: Floats, **more: Any) -> Cause | None:
    quantiles = np.quantile(trained, (np.arange(512) + 0.5) / 512, method="inverted_cdf")
    histogram = LogHistogram()
    histogram.update(live)
    return name_cause(quantiles, *histogram.atoms(), coarsening=histogram.coarsening, **more)


def _broken(draw: Draw, change: Callable[[Floats], Floats], n: int, share: float, seed: int = 1) -> Cause:
    rng = np.random.default_rng(seed)
    trained, live = draw(rng, 20_000), draw(rng, n)
    cause = _name(trained, np.where(rng.random(n) < share, change(live), live))
    assert cause is not None
    return cause


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("factor", [0.001, 0.01, 60.0, 100.0, 1000.0, 3600.0])
@pytest.mark.parametrize(("n", "share"), [(200, 1.0), (1_000, 1.0), (1_000, 0.3)])
def test_a_unit_change_is_named_with_its_factor_and_share(feature: str, factor: float, n: int, share: float) -> None:
    cause = _broken(FEATURES[feature], lambda x: x * factor, n, share)
    assert cause.kind == "scale", cause.says
    assert cause.factor == pytest.approx(factor)
    assert cause.share == pytest.approx(share, abs=0.05)
    assert cause.explained >= 0.9


def test_cents_that_became_euros_are_called_that() -> None:
    cause = _broken(_amounts, lambda x: x / 100, 1_000, 1.0)
    assert cause.says == "live = 0.01 × trained (as when cents become euros)"
    partly = _broken(_amounts, lambda x: x / 100, 1_000, 0.3)
    assert partly.says.startswith("live = 0.01 × trained (as when cents become euros), in about ")


@pytest.mark.parametrize("feature", [name for name in FEATURES if name not in ("shares", "errors")])
@pytest.mark.parametrize(("n", "share"), [(200, 1.0), (1_000, 0.3)])
def test_a_turned_sign_is_named(feature: str, n: int, share: float) -> None:
    cause = _broken(FEATURES[feature], lambda x: -x, n, share)
    assert cause.kind == "sign", cause.says
    assert (cause.factor, cause.offset) == (None, None)


@pytest.mark.parametrize(
    ("change", "factor", "offset"),
    [(lambda x: 1.8 * x + 32, 1.8, 32.0), (lambda x: x + 273.15, 1.0, 273.15)],
)
@pytest.mark.parametrize(("n", "share"), [(200, 1.0), (1_000, 1.0), (1_000, 0.3)])
def test_another_temperature_scale_is_named(
    change: Callable[[Floats], Floats], factor: float, offset: float, n: int, share: float
) -> None:
    cause = _broken(_temperatures, change, n, share)
    assert (cause.kind, cause.factor, cause.offset) == ("affine", factor, offset), cause.says
    assert cause.share == pytest.approx(share, abs=0.05)


def test_a_share_counted_from_the_other_end_is_named() -> None:
    cause = _broken(lambda rng, n: rng.beta(2, 8, n), lambda x: 1 - x, 1_000, 1.0)
    assert (cause.kind, cause.factor, cause.offset) == ("affine", -1.0, 1.0)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("value", [-999.0, 77.5])
def test_a_constant_fill_is_named_with_its_value(feature: str, share: float, value: float) -> None:
    rng = np.random.default_rng(3)
    trained, live = FEATURES[feature](rng, 20_000), FEATURES[feature](rng, 1_000)
    cause = _name(trained, np.where(rng.random(1_000) < share, value, live), frequent=(value,))
    assert cause is not None
    assert (cause.kind, cause.value) == ("constant", value), cause.says
    assert cause.share == pytest.approx(share, abs=0.05)


def test_a_factor_that_is_no_unit_is_told_as_it_is() -> None:
    cause = _broken(FEATURES["shares"], lambda x: x * 37.1, 1_000, 1.0)
    assert cause.kind == "scale"
    assert cause.factor == pytest.approx(37.1, rel=0.02)
    assert "no common unit" in cause.says


@pytest.mark.parametrize(
    ("feature", "name", "change"),
    [
        ("amounts", "ln", np.log),
        ("amounts", "log10", np.log10),
        ("prices", "log1p", np.log1p),
        ("amounts", "sqrt", np.sqrt),
        ("shares", "exp", np.exp),
        ("errors", "abs", np.abs),
    ],
)
def test_a_function_is_named(feature: str, name: str, change: Callable[[Floats], Floats]) -> None:
    cause = _broken(FEATURES[feature], change, 1_000, 1.0)
    assert (cause.kind, cause.share) == ("function", 1.0), cause.says
    assert name == cause.name or f"{name} fits as well" in cause.says


def test_functions_that_cannot_be_told_apart_are_told_together() -> None:
    cause = _broken(FEATURES["amounts"], np.log, 1_000, 1.0)
    assert "log1p fits as well" in cause.says or "ln fits as well" in cause.says


def test_rounding_is_named_where_the_histogram_can_show_it() -> None:
    cause = _broken(FEATURES["temperatures"], np.round, 1_000, 1.0)
    assert (cause.kind, cause.name) == ("function", "round"), cause.says


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_values_standardised_a_second_time_are_a_scaler(share: float) -> None:
    rng = np.random.default_rng(8)
    trained, live = _amounts(rng, 20_000), _amounts(rng, 1_000)
    scaled = (live - trained.mean()) / trained.std()
    figures = Figures(float(trained.mean()), float(trained.std()), float(trained.min()), float(trained.max()), 20_000)
    cause = _name(trained, np.where(rng.random(1_000) < share, scaled, live), figures=figures)
    assert cause is not None
    assert (cause.kind, cause.name) == ("scaler", "standardised"), cause.says
    assert cause.factor == pytest.approx(1 / trained.std())
    assert cause.offset == pytest.approx(-trained.mean() / trained.std())


def test_large_values_that_are_cut_are_named_with_the_limit_aside() -> None:
    rng = np.random.default_rng(8)
    trained, live = _temperatures(rng, 20_000), np.minimum(_temperatures(rng, 1_000), 20.0)
    cause = _name(trained, live, frequent=(20.0,))
    assert cause is not None
    assert (cause.kind, cause.name, cause.value) == ("function", "clip above", 20.0), cause.says
    assert "20" not in cause.says


def test_a_sentence_holds_no_value_of_a_row() -> None:
    rng = np.random.default_rng(3)
    trained, live = _amounts(rng, 20_000), np.full(500, 41_114_111.0)
    cause = _name(trained, live, frequent=(41_114_111.0,))
    assert cause is not None
    assert (cause.kind, cause.value) == ("constant", 41_114_111.0)
    assert "4111" not in cause.says


def test_a_constant_mean_is_called_that() -> None:
    rng = np.random.default_rng(3)
    trained = rng.normal(15.0, 8.0, 20_000)
    mean = float(trained.mean())
    figures = Figures(mean, float(trained.std()), float(trained.min()), float(trained.max()), 20_000)
    cause = _name(trained, np.full(500, mean), frequent=(mean,), figures=figures)
    assert cause is not None
    assert (cause.kind, cause.value) == ("constant", mean)
    assert "training's mean" in cause.says


def test_a_cell_that_holds_many_values_is_no_constant() -> None:
    rng = np.random.default_rng(3)
    trained, live = rng.normal(15.0, 8.0, 20_000), 1_000.0 + rng.random(500)
    cause = _name(trained, live, frequent=())
    assert cause is not None
    assert cause.kind != "constant"


def test_another_column_is_named_only_where_it_is_offered() -> None:
    rng = np.random.default_rng(3)
    amounts, temperatures = _amounts(rng, 20_000), _temperatures(rng, 20_000)
    live = _temperatures(rng, 1_000)
    atoms = np.quantile(temperatures, (np.arange(512) + 0.5) / 512)
    alone, offered = _name(amounts, live), _name(amounts, live, others={"temperature": atoms})
    assert alone is not None
    assert offered is not None
    assert alone.kind == "unexplained"
    assert (offered.kind, offered.with_) == ("swap", "temperature")


def test_a_part_that_moved_by_no_common_unit_is_found_by_its_factor() -> None:
    cause = _broken(lambda rng, n: rng.normal(80.0, 15.0, n), lambda x: x * 371.0, 2_000, 0.4)
    assert cause.kind == "scale", cause.says
    assert cause.factor == pytest.approx(371.0, rel=0.05)
    assert cause.share == pytest.approx(0.4, abs=0.05)


def test_a_small_baseline_is_allowed_its_own_noise() -> None:
    rng = np.random.default_rng(6)
    trained, live = _amounts(rng, 600), _amounts(rng, 2_000) / 100
    figures = Figures(float(trained.mean()), float(trained.std()), float(trained.min()), float(trained.max()), 600)
    cause = _name(trained, live, figures=figures)
    assert cause is not None
    assert (cause.kind, cause.factor) == ("scale", 0.01)


NATURAL: dict[str, Callable[[Floats], Floats]] = {
    "10 % more": lambda x: x * 1.1,
    "a third more": lambda x: x * 1.35,
    "a shift": lambda x: x + 0.7 * x.std(),
    "wider": lambda x: x.mean() + (x - x.mean()) * 1.5,
    "the lower quarter gone": lambda x: np.sort(x)[x.size // 4 :],
    "half the rows shifted": lambda x: np.where(np.arange(x.size) % 2 == 0, x + 1.5 * x.std(), x),
    "a heavier tail": lambda x: np.where(np.arange(x.size) % 10 == 0, x * (3 + 5 * (np.arange(x.size) % 97) / 97), x),
}


@pytest.mark.parametrize("n", [200, 1_000, 10_000])
def test_what_the_world_does_is_hardly_ever_given_a_name(n: int) -> None:
    rng = np.random.default_rng(n)
    named = []
    for feature, draw in FEATURES.items():
        for drift, change in NATURAL.items():
            cause = _name(draw(rng, 20_000), change(draw(rng, n)))
            if cause is None or cause.kind != "unexplained":
                named.append((feature, drift, cause))
    assert len(named) <= 1, f"{len(named)} of {len(FEATURES) * len(NATURAL)} wrongly named: {named}"


def test_without_drift_there_is_nothing_to_name() -> None:
    rng = np.random.default_rng(2)
    for draw in FEATURES.values():
        cause = _name(draw(rng, 20_000), draw(rng, 1_000))
        assert cause is not None
        assert cause.kind == "unexplained"
        assert cause.share == 1.0
        assert cause.explained == 0.0


def test_too_few_rows_name_nothing() -> None:
    trained = _amounts(np.random.default_rng(1), 5_000)
    assert _name(trained, trained[:49] / 100) is None
    assert _name(trained, np.empty(0)) is None


def test_infinities_and_absurd_magnitudes_do_not_disturb() -> None:
    rng = np.random.default_rng(4)
    trained, live = _amounts(rng, 20_000), _amounts(rng, 1_000) / 100
    live[:3] = np.inf, -np.inf, 1e300
    cause = _name(trained, live)
    assert cause is not None
    assert (cause.kind, cause.factor) == ("scale", 0.01)
    huge = name_cause(np.linspace(1e300, 1.7e308, 512), np.linspace(1e300, 1.7e308, 100), np.ones(100))
    assert huge is not None


def test_a_constant_baseline_is_no_trap() -> None:
    cause = _name(np.full(1_000, 5.0), np.full(500, 500.0))
    assert cause is not None
    assert cause.kind in {"scale", "constant", "unexplained"}


@pytest.mark.parametrize(
    ("quantiles", "values", "counts"),
    [
        ([1.0] * 7, [1.0], [100]),
        ([float("nan")] * 8, [1.0], [100]),
        ([1.0] * 8, [1.0, 2.0], [100]),
        ([1.0] * 8, [1.0], [-100]),
        ([[1.0] * 8], [1.0], [100]),
    ],
)
def test_arguments_without_sense_are_refused(quantiles: list[float], values: list[float], counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"quantiles|counts"):
        name_cause(quantiles, values, counts)


def test_a_filler_is_found_behind_the_few_cells_that_hold_a_narrow_column() -> None:
    rng = np.random.default_rng(6)
    trained, live = np.round(rng.normal(1_015.0, 8.0, 20_000), 1), np.round(rng.normal(1_015.0, 8.0, 1_000), 1)
    cause = _name(trained, np.where(rng.random(1_000) < 0.15, -999.0, live), frequent=(-999.0,))
    assert cause is not None
    assert (cause.kind, cause.value) == ("constant", -999.0), cause.says
    assert cause.share == pytest.approx(0.15, abs=0.04)


def test_a_value_whose_cell_training_filled_with_others_is_no_constant() -> None:
    rng = np.random.default_rng(6)
    trained, live = rng.normal(44.95, 0.02, 20_000), rng.normal(44.99, 0.01, 1_000)
    live[:80] = 44.9912
    cause = _name(trained, live, frequent=(44.9912,))
    assert cause is not None
    assert cause.kind == "unexplained", cause.says


def test_values_scaled_by_the_range_of_other_rows_are_called_scaled() -> None:
    rng = np.random.default_rng(7)
    trained, live = rng.gamma(3.0, 2.0, 20_000) + 5.0, rng.gamma(3.0, 2.0, 1_000) + 5.0
    cause = _name(trained, (live - 4.4) / 29.0)
    assert cause is not None
    assert (cause.kind, cause.name) == ("scaler", "min-max anew"), cause.says
    assert cause.factor == pytest.approx(1 / 29.0, rel=0.1)


@pytest.mark.parametrize("shift", [35.0, 25.0])
def test_a_warmer_season_is_no_percentage_counted_from_the_other_end(shift: float) -> None:
    rng = np.random.default_rng(8)
    trained = np.clip(rng.normal(35.0, 9.0, 20_000), 1.0, 99.0)
    cause = _name(trained, np.clip(rng.normal(35.0 + shift, 9.0, 1_000), 1.0, 99.0))
    assert cause is not None
    assert cause.kind == "unexplained", cause.says


@pytest.mark.parametrize("seed", range(4))
def test_two_populations_that_mix_anew_are_no_kilometres_in_part_of_the_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trained = np.clip(rng.normal(68.0, 18.0, 20_000), 10.0, 100.0)
    dry = rng.random(1_000) < 0.45
    live = np.clip(np.where(dry, rng.normal(43.0, 12.0, 1_000), rng.normal(68.0, 18.0, 1_000)), 10.0, 100.0)
    cause = _name(trained, live)
    assert cause is not None
    assert cause.kind == "unexplained", cause.says
