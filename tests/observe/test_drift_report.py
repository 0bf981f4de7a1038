from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from sidecar.stats.psi import psi
from tests.observe.drift_traffic import BASELINE, live_rows, observer, sample, told, traffic


def test_the_report_counts_rows_that_wait_and_the_open_bucket() -> None:
    watch = observer()
    watch.fold(sample(live_rows(np.random.default_rng(1), 10), 10, np.full(10, 0.3)))
    watch.pass_over(90)
    report = watch.report()
    assert (report.rows_seen, report.rows_sampled) == (100, 10)
    assert told(report, "amount").n == 10
    assert sum(told(report, "amount").live_counts) == 10


def test_before_any_row_nothing_is_known_and_nothing_fails() -> None:
    watch = observer()
    for against in ("training", "recent"):
        for feature in watch.report(against).features:
            assert (feature.n, feature.psi, feature.psi_noise) == (0, None, None)
            assert (feature.kl_lower, feature.e_value) == (0.0, 1.0)
            assert (feature.missing, feature.unseen) == (0.0, 0.0)
    assert watch.tick(1_000.0) == ()


def test_the_report_is_that_of_the_frozen_cells() -> None:
    watch, rng = observer(), np.random.default_rng(10)
    rows = live_rows(rng, 400)
    watch.fold(sample(rows, 400))
    feature, baseline = told(watch.report(), "amount"), BASELINE.by_name["amount"]
    expected = baseline.cells.count(rows["amount"])
    assert feature.live_counts == tuple(expected.tolist())
    assert feature.baseline_counts == baseline.counts
    assert feature.cells == baseline.cells.labels
    assert feature.psi == pytest.approx(psi(baseline.counts, expected))


@pytest.mark.parametrize("sizes", [[1] * 300, [7, 300, 1, 0, 2], [1_000]])
def test_the_counts_do_not_depend_on_how_rows_were_batched(sizes: list[int]) -> None:
    rows = live_rows(np.random.default_rng(11), sum(sizes))
    watch, start = observer(), 0
    for index, size in enumerate(sizes):
        part = {name: column[start : start + size] for name, column in rows.items()}
        if index % 2:
            part = {name: column if isinstance(column, list) else column.tolist() for name, column in part.items()}
        watch.fold(sample(part, size))
        start += size
    for feature in watch.report().features:
        expected = BASELINE.by_name[feature.name].cells.count(rows[feature.name])
        assert feature.live_counts == tuple(expected.tolist())


def test_against_recent_compares_live_with_earlier_live() -> None:
    watch, rng = observer(), np.random.default_rng(12)
    list(traffic(watch, rng, range(40), age=lambda age: np.minimum(age + 20, 89)))
    list(traffic(watch, rng, range(40, 56), age=lambda age: np.minimum(age + 20, 89)))
    skewed, steady = told(watch.report(), "age"), told(watch.report("recent"), "age")
    assert skewed.psi is not None
    assert steady.psi is not None
    assert skewed.psi > 0.5
    assert steady.psi < 0.1
    assert not steady.alarm
    assert sum(steady.live_counts) == 1_600
    list(traffic(watch, rng, range(56, 72)))
    back = told(watch.report("recent"), "age")
    assert back.psi is not None
    assert back.psi > 0.5
    assert back.kl_lower > 0.1


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
    watch = observer()
    watch.fold(sample(features, 2))
    report = watch.report()
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
    watch = observer()
    for _ in range(100):
        watch.fold(sample({name: column}, 6))
    watch.tick(60.0)
    feature = told(watch.report(), name)
    assert feature.n == 600
    assert feature.alarm
    assert msgspec.json.encode(watch.report())
    other = observer()
    other.restore(watch.snapshot())


def test_a_tick_before_the_bucket_is_due_closes_nothing() -> None:
    watch, rng = observer(), np.random.default_rng(17)
    rows = live_rows(rng, 300)
    watch.fold(sample({**rows, "amount": rows["amount"] / 100}, 300))
    assert watch.tick(59.9) == ()
    assert len(watch.tick(60.0)) == 1
