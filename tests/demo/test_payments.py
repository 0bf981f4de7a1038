from __future__ import annotations

import numpy as np
import pytest

from sidecar.demo.payments import (
    CATEGORIES,
    COUNTRIES,
    FEATURES,
    TRAINING_ROWS,
    in_euros,
    inference_inputs,
    outcomes,
    stream,
    training_set,
)


def test_the_same_seed_gives_the_same_payments_and_outcomes() -> None:
    first, second = training_set(), training_set()
    for feature in FEATURES:
        assert np.array_equal(first[0][feature.name], second[0][feature.name])
    assert np.array_equal(first[1], second[1])
    assert first[1].size == TRAINING_ROWS


def test_every_feature_has_one_value_a_row_within_its_range() -> None:
    payments = stream(np.random.default_rng(1), 20_000)
    assert list(payments) == [feature.name for feature in FEATURES]
    assert {column.shape for column in payments.values()} == {(20_000,)}
    assert payments["amount"].dtype == np.int64
    assert payments["amount"].min() >= 50
    assert set(payments["hour"]) == set(range(24))
    assert set(payments["merchant_category"]) == {entry[0] for entry in CATEGORIES}
    assert set(payments["country"]) == {entry[0] for entry in COUNTRIES}
    assert set(payments["is_online"]) == {"true", "false"}
    assert payments["device_trust"].min() >= 0
    assert payments["device_trust"].max() <= 1
    assert payments["distance_km"].max() > 100 * np.median(payments["distance_km"])  # a heavy tail


def test_people_like_round_amounts_and_sleep_at_night() -> None:
    payments = stream(np.random.default_rng(2), 20_000)
    assert 0.2 < (payments["amount"] % 100 == 0).mean() < 0.35
    assert (payments["hour"] == 18).sum() > 8 * (payments["hour"] == 3).sum()


def test_about_a_third_of_the_payments_is_fraud() -> None:
    rng = np.random.default_rng(3)
    assert 0.30 < outcomes(rng, stream(rng, 20_000)).mean() < 0.40


def test_euros_are_the_same_payments_at_a_hundredth() -> None:
    payments = stream(np.random.default_rng(4), 10)
    changed = in_euros(payments)
    assert (changed["amount"] * 100).tolist() == pytest.approx(payments["amount"].tolist())
    assert changed["hour"] is payments["hour"]
    assert payments["amount"].dtype == np.int64


def test_a_request_holds_plain_values_of_the_declared_types() -> None:
    inputs = inference_inputs(stream(np.random.default_rng(5), 3))
    assert [entry["name"] for entry in inputs] == [feature.name for feature in FEATURES]
    for entry in inputs:
        data = entry["data"]
        assert isinstance(data, list)
        assert entry["shape"] == [3, 1]
        assert {type(value) for value in data} <= ({str} if entry["datatype"] == "BYTES" else {int, float})
