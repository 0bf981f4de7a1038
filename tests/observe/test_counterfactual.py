from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.from_columns import build_baseline
from sidecar.observe.counterfactual import FEWEST_ROWS, proven, shift_removed, transform_of, undone
from sidecar.observe.kept_rows import KeptRow
from sidecar.reports import Cause

Floats = NDArray[np.float64]
RNG = np.random.default_rng(5)
AMOUNTS = np.exp(RNG.normal(8.0, 1.0, 6_000))
AGES = RNG.normal(40.0, 8.0, 6_000)
CITIES = RNG.choice(["Bonn", "Kyiv", "Lima"], size=6_000, p=[0.5, 0.3, 0.2]).tolist()


def _score(amount: Floats) -> Floats:
    return 1 / (1 + np.exp(8.0 - np.log(amount)))


BASELINE = build_baseline(
    {"amount": AMOUNTS[:5_000], "age": AGES[:5_000], "city": CITIES[:5_000], "score": _score(AMOUNTS[:5_000])},
    prediction="score",
    now=datetime(2026, 1, 1, tzinfo=UTC),
)
LIVE_AMOUNTS, LIVE_AGES, LIVE_CITIES = AMOUNTS[5_000:5_256], AGES[5_000:5_256], CITIES[5_000:5_256]


def _rows(**columns: object) -> list[KeptRow]:
    every: dict[str, object] = {"amount": LIVE_AMOUNTS.tolist(), "age": LIVE_AGES.tolist(), "city": LIVE_CITIES}
    every |= columns
    rows = []
    for number in range(256):
        values = {name: column[number] for name, column in every.items() if isinstance(column, list)}
        rows.append(KeptRow(f"r{number}", 0, 100.0, values, 0.5, None))
    return rows


def _cause(**fields: object) -> Cause:
    return Cause(**({"kind": "scale", "says": "it broke"} | fields))  # type: ignore[arg-type]


def test_a_factor_is_taken_back_in_every_row() -> None:
    found = undone(_rows(amount=(LIVE_AMOUNTS / 100).tolist()), "amount", _cause(factor=0.01), BASELINE.by_name)
    assert found is not None
    assert found.changed == 256
    assert [row["amount"] for row in found.values] == pytest.approx(LIVE_AMOUNTS.tolist())
    assert [row["age"] for row in found.values] == LIVE_AGES.tolist()


def test_only_rows_that_are_likelier_switched_are_changed() -> None:
    switched = np.random.default_rng(3).random(256) < 0.3
    live = np.where(switched, LIVE_AMOUNTS / 1000, LIVE_AMOUNTS)
    found = undone(_rows(amount=live.tolist()), "amount", _cause(factor=0.001, share=0.3), BASELINE.by_name)
    assert found is not None
    back = np.array([row["amount"] for row in found.values], dtype=np.float64)
    assert np.mean(np.isclose(back, LIVE_AMOUNTS)) > 0.97
    assert abs(found.changed - int(switched.sum())) <= 8


@pytest.mark.parametrize(
    ("cause", "broken"),
    [
        (_cause(kind="sign"), -LIVE_AMOUNTS),
        (_cause(kind="affine", factor=1.8, offset=32.0), 1.8 * LIVE_AMOUNTS + 32.0),
        (_cause(kind="function", name="ln"), np.log(LIVE_AMOUNTS)),
        (_cause(kind="scaler", name="standardised", factor=0.001, offset=-4.0), 0.001 * LIVE_AMOUNTS - 4.0),
    ],
)
def test_other_transforms_are_taken_back(cause: Cause, broken: Floats) -> None:
    found = undone(_rows(amount=broken.tolist()), "amount", cause, BASELINE.by_name)
    assert found is not None
    assert [row["amount"] for row in found.values] == pytest.approx(LIVE_AMOUNTS.tolist())


@pytest.mark.parametrize("filled", [None, float("nan")])
def test_what_is_missing_is_filled_as_training_had_it(filled: object) -> None:
    broken = [filled if number % 2 else value for number, value in enumerate(LIVE_AMOUNTS.tolist())]
    found = undone(_rows(amount=broken), "amount", _cause(kind="missing", share=0.5), BASELINE.by_name)
    assert found is not None
    assert found.changed == 128
    assert np.median([row["amount"] for row in found.values]) == pytest.approx(np.median(AMOUNTS), rel=0.2)


def test_a_constant_is_replaced_where_it_stands() -> None:
    broken = [-999.0 if number % 2 else value for number, value in enumerate(LIVE_AMOUNTS.tolist())]
    found = undone(_rows(amount=broken), "amount", _cause(kind="constant", value=-999.0, share=0.5), BASELINE.by_name)
    assert found is not None
    assert found.changed == 128
    assert all(row["amount"] != -999.0 for row in found.values)


def test_a_recoding_is_read_back_where_every_name_is_known() -> None:
    broken = [text.upper() for text in LIVE_CITIES]
    told = ("Bonn → BONN", "Kyiv → KYIV", "Lima → LIMA")
    found = undone(_rows(city=broken), "city", _cause(kind="recode", values=told), BASELINE.by_name)
    assert found is not None
    assert [row["city"] for row in found.values] == LIVE_CITIES
    many = (*told, "a → b", "c → d")
    assert undone(_rows(city=broken), "city", _cause(kind="recode", values=many), BASELINE.by_name) is None


def test_numbers_that_came_as_text_become_numbers() -> None:
    broken = [str(value) for value in LIVE_AMOUNTS.tolist()]
    cause = _cause(kind="type", type_from="number", type_to="text")
    found = undone(_rows(amount=broken), "amount", cause, BASELINE.by_name)
    assert found is not None
    assert [row["amount"] for row in found.values] == pytest.approx(LIVE_AMOUNTS.tolist())


def test_columns_that_changed_places_go_back() -> None:
    rows = _rows(amount=LIVE_AGES.tolist(), age=LIVE_AMOUNTS.tolist())
    found = undone(rows, "amount", _cause(kind="swap", with_="age"), BASELINE.by_name)
    assert found is not None
    assert [(row["amount"], row["age"]) for row in found.values] == list(
        zip(LIVE_AMOUNTS.tolist(), LIVE_AGES.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("feature", "cause"),
    [
        ("amount", _cause(kind="function", name="abs")),
        ("amount", _cause(kind="function", name="unheard of")),
        ("amount", _cause(kind="unexplained")),
        ("amount", _cause(kind="swap", with_="nobody")),
        ("nobody", _cause(factor=0.01)),
        ("city", _cause(factor=0.01)),
    ],
)
def test_what_cannot_be_taken_back_is_not_tried(feature: str, cause: Cause) -> None:
    assert undone(_rows(), feature, cause, BASELINE.by_name) is None


def test_few_rows_prove_nothing() -> None:
    assert undone(_rows()[: FEWEST_ROWS - 1], "amount", _cause(factor=0.01), BASELINE.by_name) is None


def test_the_shift_that_is_gone_is_measured_against_training() -> None:
    prediction = BASELINE.prediction
    assert prediction is not None
    broken, healthy = _score(LIVE_AMOUNTS / 100).tolist(), _score(LIVE_AMOUNTS).tolist()
    gone = shift_removed(prediction, broken, healthy)
    assert gone is not None
    assert gone > 0.97
    half = shift_removed(prediction, broken, broken[:128] + healthy[128:])
    assert half is not None
    assert 0.2 < half < 0.95
    none = shift_removed(prediction, broken, broken)
    assert none == 0.0
    assert shift_removed(prediction, healthy, broken) is None


def test_only_a_large_share_is_a_proof() -> None:
    cause = _cause(factor=0.01)
    assert proven(cause, 0.79) is cause
    found = proven(cause, 0.97)
    assert (found.confirmed, found.says) == (True, "it broke; un-applying it removes 97% of the prediction shift")
    assert proven(found, 0.91).says == "it broke; un-applying it removes 91% of the prediction shift"


def test_a_transform_is_read_from_a_cause() -> None:
    made = transform_of(_cause(kind="function", name="round", value=1.0))
    assert made is not None
    assert made.apply(np.array([2.26])).tolist() == [2.3]
    assert transform_of(_cause(kind="missing")) is None
