from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.kept_rows import KeptRow
from sidecar.observe.ranked_back import ranked_back, with_values

RNG = np.random.default_rng(11)
AMOUNTS = np.exp(RNG.normal(3.0, 1.0, 5_000))
VISITS = RNG.poisson(2.0, 5_000)
CITIES = RNG.choice(["Bonn", "Kyiv", "Lima"], size=5_000, p=[0.5, 0.3, 0.2]).tolist()
CODES = RNG.choice([1, 2, 3], size=5_000, p=[0.6, 0.3, 0.1]).tolist()
GAPS = [None if number % 5 == 0 else float(number % 7) for number in range(5_000)]
BASELINE = build_baseline(
    {
        "amount": AMOUNTS, "visits": VISITS, "city": CITIES, "code": [str(code) for code in CODES], "gap": GAPS,
    },
    now=datetime(2026, 1, 1, tzinfo=UTC),
).by_name  # fmt: skip


def _rows(feature: str, values: Sequence[object]) -> list[KeptRow]:
    return [KeptRow(f"r{number}", 0, 100.0, {feature: value}, 0.5, None) for number, value in enumerate(values)]


def _back(feature: str, values: Sequence[object]) -> tuple[object, ...]:
    found = ranked_back(_rows(feature, values), feature, BASELINE)
    assert found is not None
    return found


def test_a_moved_number_is_distributed_as_in_training_and_keeps_its_place() -> None:
    live = [float(value) ** 2 + 7.0 for value in AMOUNTS[:256]]
    found = np.array(_back("amount", list(live)), dtype=np.float64)
    assert np.array_equal(np.argsort(found, kind="stable"), np.argsort(live, kind="stable"))
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(found, share) == pytest.approx(np.quantile(AMOUNTS, share), rel=0.05)


def test_rows_that_did_not_move_hardly_change() -> None:
    live = np.sort(AMOUNTS)[10::20]
    found = np.array(_back("amount", live.tolist()), dtype=np.float64)
    assert np.median(np.abs(np.log(found / live))) < 0.01


def test_one_value_everywhere_is_dealt_as_training_had_it_and_the_deal_is_the_same_again() -> None:
    found = _back("amount", [5.0] * 256)
    assert np.median(np.array(found, dtype=np.float64)) == pytest.approx(np.median(AMOUNTS), rel=0.05)
    assert found == _back("amount", [5.0] * 256)
    early, late = np.array(found[:128], dtype=np.float64), np.array(found[128:], dtype=np.float64)
    assert abs(np.mean(early < np.median(AMOUNTS)) - np.mean(late < np.median(AMOUNTS))) < 0.25


def test_whole_numbers_stay_whole() -> None:
    found = _back("visits", [int(value) + 4 for value in VISITS[:256]])
    assert all(type(value) is int for value in found)
    assert np.mean(np.array(found, dtype=np.int64)) == pytest.approx(2.0, abs=0.2)


def test_gaps_beyond_those_of_training_are_filled_and_no_others() -> None:
    found = _back("gap", [None if number % 2 else 3.0 for number in range(200)])
    assert sum(value is None for value in found) == 40
    assert {value for value in found if value is not None} <= {float(number) for number in range(7)}
    filled = _back("amount", [None] * 50 + AMOUNTS[:50].tolist())
    assert None not in filled
    assert np.isfinite(np.array(filled, dtype=np.float64)).all()


def test_as_few_rows_as_possible_get_another_category() -> None:
    live = ["Lima"] * 100 + ["Bonn"] * 60 + ["Kyiv"] * 40
    found = _back("city", list(live))
    assert found.count("Bonn") == pytest.approx(100, abs=4)
    assert found.count("Lima") == pytest.approx(40, abs=4)
    assert all(now == was for now, was in zip(found, live, strict=True) if was != "Lima")


def test_new_categories_become_known_ones_spelled_as_live_rows_spell_them() -> None:
    found = _back("code", [9] * 100 + [1] * 100)
    assert set(found) == {1, 2, 3}
    assert found.count(1) == pytest.approx(120, abs=4)
    lists = _back("city", [["Bonn"]] * 100)
    assert set(lists) <= {"Bonn", "Kyiv", "Lima"}


@pytest.mark.parametrize("odd", [True, "12", 10**400, float("inf"), [1.0], {}])
def test_values_that_are_no_numbers_are_gaps(odd: object) -> None:
    found = _back("amount", [odd] * 10 + AMOUNTS[:90].tolist())
    assert all(isinstance(value, float) and np.isfinite(value) for value in found)


def test_what_nobody_knows_or_what_did_not_change_is_nothing() -> None:
    assert ranked_back(_rows("other", [1.0]), "other", BASELINE) is None
    assert ranked_back([], "amount", BASELINE) is None
    assert ranked_back(_rows("city", ["Bonn"] * 5 + ["Kyiv"] * 3 + ["Lima"] * 2), "city", BASELINE) is None


def test_rows_are_written_with_the_new_values_and_never_get_a_gap_as_a_value() -> None:
    rows = [KeptRow("a", 0, 1.0, {"x": 1.0, "y": 2.0}, None, None), KeptRow("b", 0, 1.0, {"y": 3.0}, None, None)]
    assert with_values(rows, {"x": (9.0, None)}) == ({"x": 9.0, "y": 2.0}, {"y": 3.0})
    assert with_values(rows, {"x": (None, 7.0)}) == ({"x": None, "y": 2.0}, {"x": 7.0, "y": 3.0})
    assert rows[0].values == {"x": 1.0, "y": 2.0}
