from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.from_columns import build_baseline
from sidecar.observe.drift import DriftObserver
from sidecar.records import Prediction, Sample
from sidecar.reports import AlarmChange, DriftReport, FeatureDrift
from sidecar.stats.psi import psi

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
RNG = np.random.default_rng(5)


def _rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {
        "amount": np.round(np.exp(rng.normal(8.0, 1.0, n))),
        "age": rng.integers(18, 90, n),
        "city": rng.choice(["Bonn", "Kyiv", "Lima", "Oslo"], size=n, p=[0.4, 0.3, 0.2, 0.1]).tolist(),
    }


TRAINED = _rows(RNG, 20_000)
BASELINE = build_baseline(
    {**TRAINED, "score": RNG.beta(2, 5, 20_000)}, prediction="score", name="payments", now=CREATED
)


def _observer(now: float = 0.0) -> DriftObserver:
    return DriftObserver(BASELINE, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=now)


def _sample(
    features: Mapping[str, Any], rows: int, scores: NDArray[np.float64] | None = None, at: float = 0.0
) -> Sample:
    prediction = None if scores is None else Prediction(labels=None, scores=tuple(float(score) for score in scores))
    return Sample(request_id="r", at=at, rows=rows, features=features, prediction=prediction)


def _traffic(
    observer: DriftObserver, rng: np.random.Generator, buckets: range, n: int = 100, **changed: Any
) -> Iterator[AlarmChange]:
    """Folds `n` rows in each bucket and ticks at its end; `changed` maps feature names to functions of the column."""
    for bucket in buckets:
        rows = _rows(rng, n)
        for name, change in changed.items():
            if name in rows:
                rows[name] = change(rows[name])
        scores = changed.get("score", lambda scores: scores)(rng.beta(2, 5, n))
        observer.fold(_sample(rows, n, scores))
        yield from observer.tick(60.0 * (bucket + 1))


def _feature(report: DriftReport, name: str) -> FeatureDrift:
    (found,) = (feature for feature in report.features if feature.name == name)
    return found


def test_traffic_like_training_raises_no_alarm() -> None:
    observer = _observer()
    assert list(_traffic(observer, np.random.default_rng(1), range(300))) == []
    report = observer.report()
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
    observer, rng = _observer(), np.random.default_rng(2)
    list(_traffic(observer, rng, range(30)))
    changes = list(_traffic(observer, rng, range(30, 33), amount=lambda amount: amount / 100))
    (change,) = changes
    assert (change.key, change.kind) == ("feature/amount", "data.broken")
    assert change.says.startswith("amount: live = 0.01 × trained (as when cents become euros)")
    assert change.action.startswith("Fix the feed, do not retrain")
    assert change.since == 30 * 60.0
    assert not change.ended
    amount = _feature(observer.report(), "amount")
    assert amount.alarm
    assert amount.since == 30 * 60.0
    assert amount.cause is not None
    assert (amount.cause.kind, amount.cause.factor) == ("scale", 0.01)
    assert amount.psi is not None
    assert amount.psi > 3
    assert amount.kl_lower > 0.5
    assert amount.e_value > 1e6
    assert observer.report().severity == change.severity == "warning"
    for change in _traffic(observer, rng, range(33, 36), amount=lambda a: a / 100, score=lambda s: s**3):
        assert change.key == "prediction"
    assert observer.report().severity == "critical"


def test_a_slow_shift_of_the_world_is_drift_and_not_a_broken_feed() -> None:
    observer, rng = _observer(), np.random.default_rng(3)
    list(_traffic(observer, rng, range(10)))
    changes = list(_traffic(observer, rng, range(10, 60), age=lambda age: np.minimum(age + 8, 89)))
    assert [(change.key, change.kind, change.ended) for change in changes] == [("feature/age", "drift.detected", False)]
    assert "retrain only if the change is real" in changes[0].action
    assert observer.report().severity in {"info", "warning"}


def test_an_alarm_becomes_data_broken_under_the_same_key_when_its_cause_is_found() -> None:
    observer, rng = _observer(), np.random.default_rng(4)
    changes = list(_traffic(observer, rng, range(5), n=25, amount=lambda amount: amount / 100))
    assert [change.kind for change in changes] == ["drift.detected", "data.broken"]
    assert {change.key for change in changes} == {"feature/amount"}


def test_an_alarm_ends_when_the_feed_is_mended() -> None:
    observer, rng = _observer(), np.random.default_rng(5)
    list(_traffic(observer, rng, range(10)))
    list(_traffic(observer, rng, range(10, 13), amount=lambda amount: amount / 100))
    changes = list(_traffic(observer, rng, range(13, 60)))
    (ended,) = changes
    assert ended.ended
    assert (ended.key, ended.kind, ended.since) == ("feature/amount", "data.broken", 600.0)
    assert observer.report().severity == "none"
    list(_traffic(observer, rng, range(60, 62)))
    assert not _feature(observer.report(), "amount").alarm


def test_shifted_predictions_have_an_alarm_of_their_own() -> None:
    observer, rng = _observer(), np.random.default_rng(6)
    list(_traffic(observer, rng, range(5)))
    changes = list(_traffic(observer, rng, range(5, 15), score=lambda scores: scores**0.5))
    assert [(change.key, change.kind) for change in changes] == [("prediction", "prediction.shifted")]
    report = observer.report()
    assert report.prediction is not None
    assert report.prediction.alarm
    assert report.prediction.cause is None
    assert not any(feature.alarm for feature in report.features)


def test_a_column_that_requests_lack_is_missing() -> None:
    observer, rng = _observer(), np.random.default_rng(7)
    rows = _rows(rng, 200)
    del rows["city"]
    observer.fold(_sample(rows, 200))
    (change,) = observer.tick(60.0)
    assert change.key == "feature/city"
    assert change.kind == "data.broken"
    city = _feature(observer.report(), "city")
    assert city.missing == 1.0
    assert city.cause is not None
    assert (city.cause.kind, city.cause.share) == ("missing", 1.0)


def test_new_categories_are_drift_until_somebody_looked() -> None:
    observer, rng = _observer(), np.random.default_rng(8)
    (change,) = _traffic(
        observer,
        rng,
        range(1),
        n=300,
        city=lambda cities: ["Rome\n" if i % 5 == 0 else c for i, c in enumerate(cities)],
    )
    assert change.kind == "drift.detected"
    assert "'Rome" in change.says
    city = _feature(observer.report(), "city")
    assert city.cause is not None
    assert (city.cause.kind, city.cause.values) == ("new_category", ("Rome�",))
    assert city.unseen == pytest.approx(0.2)


def test_numbers_sent_as_text_are_a_broken_feed() -> None:
    observer, rng = _observer(), np.random.default_rng(9)
    (change,) = _traffic(observer, rng, range(1), n=100, age=lambda age: [str(value) for value in age])
    assert change.kind == "data.broken"
    age = _feature(observer.report(), "age")
    assert age.wrong_type == 1.0
    assert age.cause is not None
    assert (age.cause.kind, age.cause.type_from, age.cause.type_to) == ("type", "number", "text")


def test_the_report_counts_rows_that_wait_and_the_open_bucket() -> None:
    observer = _observer()
    observer.fold(_sample(_rows(np.random.default_rng(1), 10), 10, np.full(10, 0.3)))
    observer.pass_over(90)
    report = observer.report()
    assert (report.rows_seen, report.rows_sampled) == (100, 10)
    assert _feature(report, "amount").n == 10
    assert sum(_feature(report, "amount").live_counts) == 10


def test_before_any_row_nothing_is_known_and_nothing_fails() -> None:
    observer = _observer()
    for against in ("training", "recent"):
        for feature in observer.report(against).features:
            assert (feature.n, feature.psi, feature.psi_noise) == (0, None, None)
            assert (feature.kl_lower, feature.e_value) == (0.0, 1.0)
            assert (feature.missing, feature.unseen) == (0.0, 0.0)
    assert observer.tick(1_000.0) == ()


def test_the_report_is_that_of_the_frozen_cells() -> None:
    observer, rng = _observer(), np.random.default_rng(10)
    rows = _rows(rng, 400)
    observer.fold(_sample(rows, 400))
    feature, baseline = _feature(observer.report(), "amount"), BASELINE.by_name["amount"]
    expected = baseline.cells.count(rows["amount"])
    assert feature.live_counts == tuple(expected.tolist())
    assert feature.baseline_counts == baseline.counts
    assert feature.cells == baseline.cells.labels
    assert feature.psi == pytest.approx(psi(baseline.counts, expected))


@pytest.mark.parametrize("sizes", [[1] * 300, [7, 300, 1, 0, 2], [1_000]])
def test_the_counts_do_not_depend_on_how_rows_were_batched(sizes: list[int]) -> None:
    rows = _rows(np.random.default_rng(11), sum(sizes))
    observer, start = _observer(), 0
    for index, size in enumerate(sizes):
        part = {name: column[start : start + size] for name, column in rows.items()}
        if index % 2:
            part = {name: column if isinstance(column, list) else column.tolist() for name, column in part.items()}
        observer.fold(_sample(part, size))
        start += size
    for feature in observer.report().features:
        expected = BASELINE.by_name[feature.name].cells.count(rows[feature.name])
        assert feature.live_counts == tuple(expected.tolist())


def test_against_recent_compares_live_with_earlier_live() -> None:
    observer, rng = _observer(), np.random.default_rng(12)
    list(_traffic(observer, rng, range(40), age=lambda age: np.minimum(age + 20, 89)))
    list(_traffic(observer, rng, range(40, 56), age=lambda age: np.minimum(age + 20, 89)))
    skewed, steady = _feature(observer.report(), "age"), _feature(observer.report("recent"), "age")
    assert skewed.psi is not None
    assert steady.psi is not None
    assert skewed.psi > 0.5
    assert steady.psi < 0.1
    assert not steady.alarm
    assert sum(steady.live_counts) == 1_600
    list(_traffic(observer, rng, range(56, 72)))
    back = _feature(observer.report("recent"), "age")
    assert back.psi is not None
    assert back.psi > 0.5
    assert back.kl_lower > 0.1


def test_a_restored_observer_goes_on_as_if_nothing_had_happened() -> None:
    one, other, rng = _observer(), _observer(now=99.0), np.random.default_rng(13)
    list(_traffic(one, rng, range(10)))
    list(_traffic(one, rng, range(10, 12), amount=lambda amount: amount / 100))
    one.fold(_sample(_rows(rng, 20), 20))
    other.restore(one.snapshot())
    assert other.report() == one.report()
    assert other.snapshot() == one.snapshot()
    seed = 14
    ends = [list(_traffic(observer, np.random.default_rng(seed), range(12, 50))) for observer in (one, other)]
    assert ends[0] == ends[1]
    assert any(change.ended for change in ends[0])


def test_a_damaged_snapshot_or_one_of_another_baseline_changes_nothing() -> None:
    observer, rng = _observer(), np.random.default_rng(15)
    list(_traffic(observer, rng, range(3)))
    before = observer.snapshot()
    elsewhere = build_baseline({**TRAINED, "score": TRAINED["age"]}, prediction="score", now=CREATED)
    foreign = DriftObserver(elsewhere, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0).snapshot()
    for snapshot in (b"", b"\x81", before[:-7], foreign, msgspec.msgpack.encode({"format": 2})):
        with pytest.raises(ValueError, match=r".+"):
            observer.restore(snapshot)
        assert observer.snapshot() == before


@pytest.mark.parametrize(
    "features",
    [
        {"nothing": [1.0, 2.0], "known": ["x", "y"]},
        {"amount": [1.0]},
        {"amount": [1.0, 2.0, 3.0]},
        {"amount": np.ones((3, 2))},
        {},
    ],
)
def test_samples_that_do_not_fit_are_counted_and_change_nothing(features: dict[str, Any]) -> None:
    observer = _observer()
    observer.fold(_sample(features, 2))
    report = observer.report()
    assert (report.undecodable, report.rows_sampled, report.rows_seen) == (2, 0, 2)
    assert all(feature.n == 0 for feature in report.features)


@pytest.mark.parametrize(
    "column",
    [
        [math.inf, -math.inf, math.nan, None, 10**400, -(10**400)],
        ["", "\x00", "\ud800", "🦆" * 1_000, "1e5", "NaN"],
        [True, False, [], {}, [[1]], {"a": None}],
        np.array([b"x", None, object(), 1, 2.0, "s"], dtype=object),
        np.ones((6, 3)),
        np.array(["a"] * 6),
    ],
)
@pytest.mark.parametrize("name", ["amount", "city"])
def test_hostile_values_are_counted_and_never_raise(column: Any, name: str) -> None:
    observer = _observer()
    for _ in range(100):
        observer.fold(_sample({name: column}, 6))
    observer.tick(60.0)
    feature = _feature(observer.report(), name)
    assert feature.n == 600
    assert feature.alarm
    assert msgspec.json.encode(observer.report())
    other = _observer()
    other.restore(observer.snapshot())


def test_predictions_of_labels_are_watched_too() -> None:
    labelled = build_baseline(
        {"age": TRAINED["age"], "label": np.where(TRAINED["age"] > 60, "yes", "no").tolist()},
        prediction="label",
        now=CREATED,
    )
    observer = DriftObserver(labelled, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0)
    rng = np.random.default_rng(16)
    prediction = Prediction(labels=("yes",) * 200, scores=None)
    observer.fold(
        Sample(request_id="r", at=0.0, rows=200, features={"age": rng.integers(18, 90, 200)}, prediction=prediction)
    )
    assert [change.kind for change in observer.tick(60.0)] == ["prediction.shifted"]


def test_a_tick_before_the_bucket_is_due_closes_nothing() -> None:
    observer, rng = _observer(), np.random.default_rng(17)
    rows = _rows(rng, 300)
    observer.fold(_sample({**rows, "amount": rows["amount"] / 100}, 300))
    assert observer.tick(59.9) == ()
    assert len(observer.tick(60.0)) == 1


def test_a_tiny_budget_is_no_error() -> None:
    generous = DriftObserver(BASELINE, bucket_s=3_600.0, false_alarm_days=1e-6, tolerance=0.0, now=0.0)
    assert generous.tick(3_600.0) == ()


def test_a_baseline_without_predictions_watches_its_features_alone() -> None:
    plain = build_baseline({"age": TRAINED["age"], "gone": [None] * 20_000}, now=CREATED)
    one, other = (
        DriftObserver(plain, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0) for _ in range(2)
    )
    one.fold(_sample({"age": [20] * 300, "gone": ["back"] * 300}, 300, np.full(300, 0.5)))
    assert {change.key for change in one.tick(60.0)} == {"feature/age", "feature/gone"}
    assert one.report().prediction is None
    other.restore(one.snapshot())
    assert other.report() == one.report()
