from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.observe.reference import Reference, ReferenceDocument
from sidecar.observe.ruler import Ruler
from tests.observe.drift_traffic import BASELINE, live_rows, observer, sample, told, traffic


def older(age: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.minimum(age + 20, 89).astype(np.int64)


def test_as_long_as_nothing_is_frozen_the_report_says_so() -> None:
    watch = observer()
    list(traffic(watch, np.random.default_rng(1), range(20)))
    report = watch.report("recent")
    assert (report.against, report.reference_at, report.reference_rows) == ("recent", None, None)


def test_drift_is_told_against_the_frozen_traffic_and_skew_against_training() -> None:
    watch, rng = observer(), np.random.default_rng(2)
    list(traffic(watch, rng, range(40), age=older))
    assert watch.freeze_reference(2_400.0)
    assert watch.reference_at == 2_400.0
    list(traffic(watch, rng, range(40, 60), age=older))
    skew, drift = watch.report(), watch.report("recent")
    assert told(skew, "age").alarm
    assert not told(drift, "age").alarm
    assert told(drift, "age").n == 2_000
    assert (drift.reference_at, drift.reference_rows) == (2_400.0, 4_000)
    assert sum(told(drift, "age").baseline_counts) == 4_000
    assert skew.reference_at is None
    list(traffic(watch, rng, range(60, 75)))
    drift = watch.report("recent")
    assert told(drift, "age").alarm
    assert told(drift, "age").since == 3_600.0
    assert told(drift, "age").kl_lower > 0.1
    assert "feature/age" in drift.moved_now


def test_a_small_reference_tolerates_what_it_cannot_know() -> None:
    watch, rng = observer(), np.random.default_rng(3)
    list(traffic(watch, rng, range(3), n=60))
    assert watch.freeze_reference(180.0)
    assert list(traffic(watch, rng, range(3, 203), n=200)) == []
    report = watch.report("recent")
    assert not any(feature.alarm for feature in report.features)
    assert all(feature.e_value < 20 for feature in report.features)


def test_without_enough_judged_rows_there_is_nothing_to_freeze() -> None:
    watch, rng = observer(), np.random.default_rng(4)
    watch.fold(sample(live_rows(rng, 99), 99))
    assert not watch.freeze_reference(30.0)
    watch.tick(60.0)
    assert not watch.freeze_reference(60.0, fewest_rows=100)
    assert watch.freeze_reference(60.0)


def test_a_reference_survives_a_restart_and_a_clock_that_was_set_back() -> None:
    watch, rng = observer(now=6e6), np.random.default_rng(5)
    list(traffic(watch, rng, range(100_000, 100_010)))
    watch.freeze_reference(60.0 * 100_010)
    list(traffic(watch, rng, range(100_010, 100_015), age=older))
    again = observer()
    again.restore(watch.snapshot())
    assert again.report("recent") == watch.report("recent")
    for each in (watch, again):
        each.tick(60.0 * 90_000)
        assert each.reference_at == 60.0 * (90_000 - 5)
    assert again.snapshot() == watch.snapshot()


def test_a_column_that_the_reference_has_no_row_of_is_not_judged() -> None:
    watch, rng = observer(), np.random.default_rng(6)
    for bucket in range(5):
        watch.fold(sample(live_rows(rng, 100), 100, at=60.0 * bucket))
        watch.tick(60.0 * (bucket + 1))
    watch.freeze_reference(300.0)
    list(traffic(watch, rng, range(5, 10)))
    prediction = watch.report("recent").prediction
    assert prediction is not None
    assert (prediction.n, prediction.psi, prediction.alarm) == (0, None, False)


@pytest.mark.parametrize("counts", [b"", b"12345678", np.full(200, -1, dtype="<i8").tobytes()])
def test_a_damaged_reference_is_refused(counts: bytes) -> None:
    ruler = Ruler(BASELINE)
    counts = counts[: 8 * ruler.size]
    with pytest.raises(ValueError, match="reference"):
        Reference.from_document(ReferenceDocument(0.0, counts, {}), ruler, tolerance=0.005, threshold=100.0)
