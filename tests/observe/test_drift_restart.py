from __future__ import annotations

import msgspec
import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.drift import DriftObserver
from tests.observe.drift_traffic import CREATED, TRAINED, live_rows, observer, sample, told, traffic


def test_a_restored_observer_goes_on_as_if_nothing_had_happened() -> None:
    one, other, rng = observer(), observer(now=99.0), np.random.default_rng(13)
    list(traffic(one, rng, range(10)))
    list(traffic(one, rng, range(10, 12), amount=lambda amount: amount / 100))
    one.fold(sample(live_rows(rng, 20), 20))
    other.restore(one.snapshot())
    assert other.report() == one.report()
    assert other.snapshot() == one.snapshot()
    seed = 14
    ends = [list(traffic(watch, np.random.default_rng(seed), range(12, 50))) for watch in (one, other)]
    assert ends[0] == ends[1]
    assert any(change.ended for change in ends[0])


def test_a_damaged_snapshot_or_one_of_another_baseline_changes_nothing() -> None:
    watch, rng = observer(), np.random.default_rng(15)
    list(traffic(watch, rng, range(3)))
    before = watch.snapshot()
    elsewhere = build_baseline({**TRAINED, "score": TRAINED["age"]}, prediction="score", now=CREATED)
    foreign = DriftObserver(elsewhere, bucket_s=60.0, false_alarm_days=30.0, tolerance=0.005, now=0.0).snapshot()
    for snapshot in (b"", b"\x81", before[:-7], foreign, msgspec.msgpack.encode({"format": 2})):
        with pytest.raises(ValueError, match=r".+"):
            watch.restore(snapshot)
        assert watch.snapshot() == before


def test_a_clock_that_goes_back_a_year_neither_loses_rows_nor_deafens_the_watch() -> None:
    watch, rng = observer(now=1e9), np.random.default_rng(16)
    start = int(1e9 // 60)
    list(traffic(watch, rng, range(start, start + 10)))
    back = start - 525_600
    changes = list(traffic(watch, rng, range(back, back + 3), amount=lambda amount: amount / 100))
    # The bucket in which the clock was set is dated by the moment when that was seen.
    assert [(change.key, change.since) for change in changes] == [("feature/amount", 60.0 * (back + 1))]
    report = watch.report()
    assert told(report, "age").n == 1_300
    list(traffic(watch, rng, range(back + 3, back + 40)))
    assert not told(watch.report(), "amount").alarm


def test_an_open_alarm_is_as_old_after_the_clock_was_set_back() -> None:
    watch, rng = observer(now=6e6), np.random.default_rng(17)
    list(traffic(watch, rng, range(100_000, 100_010), amount=lambda amount: amount / 100))
    watch.tick(60.0 * 99_000)
    assert told(watch.report(), "amount").since == 60.0 * (99_000 - 10)
    again = observer()
    again.restore(watch.snapshot())
    assert again.report() == watch.report()


def test_a_clock_that_leaps_ahead_judges_what_was_there_and_goes_on() -> None:
    watch, rng = observer(), np.random.default_rng(18)
    list(traffic(watch, rng, range(5)))
    rows = live_rows(rng, 200)
    watch.fold(sample({**rows, "amount": rows["amount"] / 100}, 200, at=301.0))
    (change,) = watch.tick(4e9)
    assert (change.key, change.since) == ("feature/amount", 300.0)
    assert watch.tick(4e9 + 1.0) == ()
    far = int(4e9 // 60) + 1
    assert any(change.ended for change in traffic(watch, rng, range(far, far + 40)))


@pytest.mark.parametrize("at", [-1e300, 1e300, float("nan"), float("inf"), -5.0, 1e12])
def test_a_row_of_any_time_is_counted_once(at: float) -> None:
    watch, rng = observer(), np.random.default_rng(19)
    watch.fold(sample(live_rows(rng, 50), 50, at=at))
    watch.tick(60.0)
    watch.fold(sample(live_rows(rng, 50), 50, at=70.0))
    watch.tick(60.0 * 70)
    assert told(watch.report(), "age").n == 100


def test_small_steps_back_are_waited_out() -> None:
    watch, rng = observer(), np.random.default_rng(20)
    list(traffic(watch, rng, range(3)))
    assert watch.tick(175.0) == ()
    rows = live_rows(rng, 300)
    watch.fold(sample({**rows, "amount": rows["amount"] / 100}, 300, at=178.0))
    assert watch.tick(179.0) == ()
    (change,) = watch.tick(240.0)
    assert change.since == 180.0


def test_a_snapshot_names_no_value_unless_it_may() -> None:
    for name_values in (False, True):
        watch = observer(name_values=name_values)
        rows = live_rows(np.random.default_rng(21), 300)
        rows["city"] = ["Atlantis" if place % 3 else city for place, city in enumerate(rows["city"])]
        rows["amount"] = np.where(np.arange(300) % 2 == 0, 271.828, rows["amount"])
        watch.fold(sample(rows, 300))
        held = watch.snapshot()
        watch.tick(60.0)
        for snapshot in (held, watch.snapshot()):
            assert (b"Atlantis" in snapshot) is name_values
            assert (msgspec.msgpack.encode(271.828) in snapshot) is name_values
        again = observer(name_values=name_values)
        again.restore(watch.snapshot())
        assert [f.alarm for f in again.report().features] == [f.alarm for f in watch.report().features]


def test_a_snapshot_of_other_buckets_is_refused() -> None:
    with pytest.raises(ValueError, match="other buckets"):
        observer(bucket_s=30.0).restore(observer().snapshot())
