from __future__ import annotations

import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.drift import DriftObserver
from sidecar.records import Prediction, Sample
from tests.observe.drift_traffic import BASELINE, CREATED, TRAINED, live_rows, observer, sample, told, traffic


def test_traffic_like_training_raises_no_alarm() -> None:
    watch = observer()
    assert list(traffic(watch, np.random.default_rng(1), range(300))) == []
    report = watch.report()
    assert report.severity == "none"
    assert (report.rows_seen, report.rows_sampled, report.undecodable) == (30_000, 30_000, 0)
    assert not any(feature.alarm for feature in report.features)
    assert report.prediction is not None
    for feature in (*report.features, report.prediction):
        assert feature.n == 30_000
        assert feature.kl_lower == 0.0
        assert feature.e_value < 1.0
        assert feature.psi is not None
        assert feature.psi_noise is not None
        assert feature.psi < 3 * feature.psi_noise


def test_cents_that_become_euros_are_found_and_named_at_once() -> None:
    watch, rng = observer(), np.random.default_rng(2)
    list(traffic(watch, rng, range(30)))
    changes = list(traffic(watch, rng, range(30, 33), amount=lambda amount: amount / 100))
    (change,) = changes
    assert (change.key, change.kind) == ("feature/amount", "data.broken")
    assert change.says.startswith("amount: live = 0.01 × trained (as when cents become euros)")
    assert change.action.startswith("Fix the feed, do not retrain")
    assert change.since == 30 * 60.0
    assert not change.ended
    amount = told(watch.report(), "amount")
    assert amount.alarm
    assert amount.since == 30 * 60.0
    assert amount.cause is not None
    assert (amount.cause.kind, amount.cause.factor) == ("scale", 0.01)
    assert amount.psi is not None
    assert amount.psi > 3
    assert amount.kl_lower > 0.5
    assert amount.e_value > 1e6
    assert watch.report().severity == change.severity == "warning"
    for change in traffic(watch, rng, range(33, 36), amount=lambda a: a / 100, score=lambda s: s**3):
        assert change.key == "prediction"
    assert watch.report().severity == "critical"


def test_a_slow_shift_of_the_world_is_drift_and_not_a_broken_feed() -> None:
    watch, rng = observer(), np.random.default_rng(3)
    list(traffic(watch, rng, range(10)))
    changes = list(traffic(watch, rng, range(10, 60), age=lambda age: np.minimum(age + 8, 89)))
    assert [(change.key, change.kind, change.ended) for change in changes] == [("feature/age", "drift.detected", False)]
    assert "when the model is trained next" in changes[0].action
    assert watch.report().severity in {"info", "warning"}


def test_an_alarm_becomes_data_broken_under_the_same_key_when_its_cause_is_found() -> None:
    watch, rng = observer(), np.random.default_rng(4)
    changes = list(traffic(watch, rng, range(5), n=25, amount=lambda amount: amount / 100))
    assert [change.kind for change in changes] == ["drift.detected", "data.broken"]
    assert {change.key for change in changes} == {"feature/amount"}


def test_an_alarm_ends_when_the_feed_is_mended() -> None:
    watch, rng = observer(), np.random.default_rng(5)
    list(traffic(watch, rng, range(10)))
    list(traffic(watch, rng, range(10, 13), amount=lambda amount: amount / 100))
    changes = list(traffic(watch, rng, range(13, 60)))
    (ended,) = changes
    assert ended.ended
    assert (ended.key, ended.kind, ended.since) == ("feature/amount", "data.broken", 600.0)
    assert watch.report().severity == "none"
    list(traffic(watch, rng, range(60, 62)))
    assert not told(watch.report(), "amount").alarm


def test_shifted_predictions_have_an_alarm_of_their_own() -> None:
    watch, rng = observer(), np.random.default_rng(6)
    list(traffic(watch, rng, range(5)))
    changes = list(traffic(watch, rng, range(5, 15), score=lambda scores: scores**0.5))
    assert [(change.key, change.kind) for change in changes] == [("prediction", "prediction.shifted")]
    report = watch.report()
    assert report.prediction is not None
    assert report.prediction.alarm
    assert report.prediction.cause is None
    assert not any(feature.alarm for feature in report.features)


def test_a_column_that_requests_lack_is_missing() -> None:
    watch, rng = observer(), np.random.default_rng(7)
    rows = live_rows(rng, 200)
    del rows["city"]
    watch.fold(sample(rows, 200))
    changes = {change.key: change for change in watch.tick(60.0)}
    assert changes.keys() == {"feature/city", "schema"}
    assert {change.kind for change in changes.values()} == {"data.broken"}
    city = told(watch.report(), "city")
    assert city.missing == 1.0
    assert city.cause is not None
    assert (city.cause.kind, city.cause.share) == ("missing", 1.0)


def test_new_categories_are_drift_until_somebody_looked() -> None:
    watch, rng = observer(), np.random.default_rng(8)
    (change,) = traffic(
        watch,
        rng,
        range(1),
        n=300,
        city=lambda cities: ["Rome\n" if i % 5 == 0 else c for i, c in enumerate(cities)],
    )
    assert change.kind == "drift.detected"
    assert "never seen" in change.says
    assert "Rome" not in change.says, "a sentence holds no value"
    city = told(watch.report(), "city")
    assert city.cause is not None
    assert (city.cause.kind, city.cause.values) == ("new_category", ("Rome�",))
    assert city.unseen == pytest.approx(0.2)


def test_numbers_sent_as_text_are_a_broken_feed() -> None:
    watch, rng = observer(), np.random.default_rng(9)
    (change,) = traffic(watch, rng, range(1), n=100, age=lambda age: [str(value) for value in age])
    assert change.kind == "data.broken"
    age = told(watch.report(), "age")
    assert age.wrong_type == 1.0
    assert age.cause is not None
    assert (age.cause.kind, age.cause.type_from, age.cause.type_to) == ("type", "number", "text")


def test_predictions_of_labels_are_watched_too() -> None:
    labelled = build_baseline(
        {"age": TRAINED["age"], "label": np.where(TRAINED["age"] > 60, "yes", "no").tolist()},
        prediction="label",
        now=CREATED,
    )
    watch = DriftObserver(labelled, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0)
    rng = np.random.default_rng(16)
    prediction = Prediction(labels=("yes",) * 200, scores=None)
    watch.fold(
        Sample(request_id="r", at=0.0, rows=200, features={"age": rng.integers(18, 90, 200)}, prediction=prediction)
    )
    assert [change.kind for change in watch.tick(60.0)] == ["prediction.shifted"]


def test_a_tiny_budget_is_no_error() -> None:
    generous = DriftObserver(BASELINE, bucket_s=3_600.0, false_alarm_days=1e-6, tolerance=0.0, now=0.0)
    assert generous.tick(3_600.0) == ()


def test_a_baseline_without_predictions_watches_its_features_alone() -> None:
    plain = build_baseline({"age": TRAINED["age"], "gone": [None] * 20_000}, now=CREATED)
    one, other = (
        DriftObserver(plain, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0, name_values=True)
        for _ in range(2)
    )
    one.fold(sample({"age": [20] * 300, "gone": ["back"] * 300}, 300, np.full(300, 0.5)))
    assert {change.key for change in one.tick(60.0)} == {"feature/age", "feature/gone"}
    assert one.report().prediction is None
    other.restore(one.snapshot())
    assert other.report() == one.report()
