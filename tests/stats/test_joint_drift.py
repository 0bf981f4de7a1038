from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.stats import joint_drift as module
from sidecar.stats.joint_drift import FEWEST_ROWS, joint_drift

Floats = NDArray[np.float64]


def _rows(rng: np.random.Generator, rows: int, correlation: float, columns: int = 3) -> Floats:
    table = rng.normal(size=(rows, columns))
    table[:, 1] = correlation * table[:, 0] + math.sqrt(1 - correlation**2) * table[:, 1]
    return table


@pytest.mark.parametrize(("before", "after"), [(40, 40), (32, 90)])
def test_without_a_change_the_mean_of_e_is_at_most_one(before: int, after: int) -> None:
    rng = np.random.default_rng(1)
    e = [math.exp(joint_drift(_rows(rng, before, 0.8), _rows(rng, after, 0.8), rng).log_e) for _ in range(300)]
    assert np.mean(e) <= 1.0 + 3 * np.std(e) / math.sqrt(len(e))
    assert np.mean(np.array(e) >= 20) <= 0.05


@pytest.mark.parametrize("lean", [0.2, -0.2])
def test_whatever_the_classifier_says_its_bets_are_fair(monkeypatch: pytest.MonkeyPatch, lean: float) -> None:
    monkeypatch.setattr(module, "_leaning", lambda rows, labels: np.full(len(rows), lean))
    rng = np.random.default_rng(9)
    before, after = rng.normal(size=(40, 1)), rng.normal(size=(160, 1))
    e = [math.exp(joint_drift(before, after, rng).log_e) for _ in range(1_000)]
    assert np.mean(e) == pytest.approx(1.0, abs=3 * float(np.std(e)) / math.sqrt(len(e)) + 1e-3)


def test_rows_of_one_set_in_an_order_are_no_change() -> None:
    # Exchangeability is made by dealing the labels: even rows that repeat are judged fairly.
    rng = np.random.default_rng(2)
    same = np.repeat(_rows(rng, 5, 0.0), 20, axis=0)
    halves = (np.split(rng.permutation(same), 2) for _ in range(200))
    e = [math.exp(joint_drift(one, other, rng).log_e) for one, other in halves]
    assert np.mean(e) <= 1.0 + 3 * np.std(e) / math.sqrt(len(e))


def test_a_dependence_that_turned_round_is_found_though_no_column_moved() -> None:
    rng = np.random.default_rng(3)
    found = joint_drift(_rows(rng, 400, 0.7), _rows(rng, 400, -0.7), rng)
    assert found.log_e > math.log(1_000)
    assert found.accuracy is not None
    assert found.accuracy > 0.65 > found.chance == 0.5


def test_a_column_that_moved_and_a_pattern_of_missing_values_are_found_too() -> None:
    rng = np.random.default_rng(4)
    moved = _rows(rng, 300, 0.0)
    moved[:, 2] += 1.0
    assert joint_drift(_rows(rng, 300, 0.0), moved, rng).log_e > math.log(100)
    holes = _rows(rng, 300, 0.0)
    holes[rng.random(300) < 0.3, 0] = np.nan
    assert joint_drift(_rows(rng, 300, 0.0), holes, rng).log_e > math.log(100)


def test_the_answer_depends_on_the_order_of_values_not_on_their_unit() -> None:
    rng = np.random.default_rng(5)
    before, after = _rows(rng, 60, 0.2), _rows(rng, 60, 0.6)
    one = joint_drift(before, after, np.random.default_rng(0))
    other = joint_drift(np.exp(before) * 1e6, np.exp(after) * 1e6, np.random.default_rng(0))
    assert other.log_e == pytest.approx(one.log_e)


@pytest.mark.parametrize(
    ("before", "after", "columns"), [(FEWEST_ROWS - 1, 500, 2), (500, 3, 2), (0, 0, 2), (50, 50, 0)]
)
def test_too_little_says_nothing(before: int, after: int, columns: int) -> None:
    found = joint_drift(np.zeros((before, columns)), np.ones((after, columns)), np.random.default_rng(6))
    assert (found.log_e, found.rows, found.accuracy) == (0.0, 0, None)


def test_columns_of_one_value_and_infinities_do_no_harm() -> None:
    rng = np.random.default_rng(7)
    before, after = _rows(rng, 60, 0.0), _rows(rng, 60, 0.0)
    before[:, 0] = after[:, 0] = 5.0
    before[:, 1] = after[:, 1] = np.nan
    before[0, 2], after[0, 2] = np.inf, -np.inf
    assert math.isfinite(joint_drift(before, after, rng).log_e)
    assert joint_drift(np.ones((50, 2)), np.ones((50, 2)), rng).log_e == 0.0


def test_tables_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(ValueError, match="columns"):
        joint_drift(np.zeros((50, 2)), np.zeros((50, 3)), rng)
    with pytest.raises(ValueError, match="table"):
        joint_drift(np.zeros(50), np.zeros((50, 3)), rng)
