from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from scipy.special import logsumexp

from sidecar.stats.edetector import MOST_BUCKETS, ClosedBucket, EDetector, EDetectorState, threshold
from sidecar.stats.eprocess import TolerantTest

BASELINE = np.array([1_000, 2_000, 4_000, 2_000, 1_000])
P0 = BASELINE / BASELINE.sum()
SHIFTED = np.array([0.05, 0.15, 0.35, 0.25, 0.20])
THRESHOLD = threshold(30, 60, 50)
TEST = TolerantTest(BASELINE, apart=True)


def _detector(now: float = 0.0) -> EDetector:
    return EDetector(BASELINE, 0.005, THRESHOLD, now=now)


def test_a_stream_without_change_raises_no_alarm() -> None:
    rng = np.random.default_rng(3)
    detector = _detector()
    for bucket in range(800):
        detector.close(rng.multinomial(100, P0), 60.0 * (bucket + 1))
        assert not detector.alarm, f"false alarm in bucket {bucket}"


def test_a_shift_raises_an_alarm_soon_and_its_onset_is_known() -> None:
    rng = np.random.default_rng(4)
    detector = _detector()
    for bucket in range(200):
        detector.close(rng.multinomial(100, P0 if bucket < 120 else SHIFTED), 60.0 * (bucket + 1))
        if detector.alarm:
            break
    delay = bucket - 120 + 1
    assert detector.alarm
    assert 0 < delay <= 15, f"the alarm came {delay} buckets after the change"
    assert abs(detector.onset - 120 * 60.0) <= 3 * 60.0, f"onset {detector.onset / 60} instead of bucket 120"


def test_a_broken_feed_raises_an_alarm_in_its_first_bucket_with_that_bucket_as_onset() -> None:
    rng = np.random.default_rng(5)
    detector = _detector()
    for bucket in range(40):
        detector.close(rng.multinomial(100, P0), 60.0 * (bucket + 1))
    detector.close([100, 0, 0, 0, 0], 41 * 60.0)
    assert detector.alarm
    assert detector.onset == 40 * 60.0


def test_s_is_the_sum_over_the_ages_and_the_whole() -> None:
    rng = np.random.default_rng(6)
    buckets = rng.multinomial(50, SHIFTED, size=100)
    detector = _detector()
    for index, bucket in enumerate(buckets):
        detector.close(bucket, float(index + 1))
    ages = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    rows = np.array([buckets[-age:].sum(axis=0) for age in ages] + [buckets.sum(axis=0)])
    tempered = rows / detector.overdispersion
    assert detector.log_s == pytest.approx(float(logsumexp(TEST.log_e(tempered, 0.005))))
    assert detector.total.tolist() == buckets.sum(axis=0).tolist()


def test_each_start_counts_once_when_the_whole_is_an_age() -> None:
    detector = _detector()
    detector.close([10, 10, 10, 10, 10], 1.0)
    expected = float(TEST.log_e([[10, 10, 10, 10, 10]], 0.005)[0])
    assert detector.log_s == pytest.approx(expected)


def test_empty_buckets_neither_help_nor_harm() -> None:
    with_gaps, without = _detector(), _detector()
    empty = np.zeros(5, dtype=np.int64)
    rng = np.random.default_rng(7)
    assert with_gaps.log_s == -math.inf
    for index in range(30):
        bucket = rng.multinomial(60, SHIFTED)
        for _ in range(5):
            with_gaps.close(empty, index + 0.5)
        with_gaps.close(bucket, index + 1.0)
        without.close(bucket, index + 1.0)
    assert with_gaps.log_s == without.log_s
    assert not EDetector(BASELINE, 0.005, THRESHOLD, now=0.0).alarm


def test_memory_is_bounded_and_the_whole_is_still_counted() -> None:
    detector = _detector()
    for index in range(300):
        detector.close([1, 2, 4, 2, 1], float(index))
    state = detector.snapshot()
    assert len(state.buckets) == MOST_BUCKETS
    assert sum(state.total) == 3_000


def test_counts_since_a_time_are_those_of_the_buckets_that_began_then() -> None:
    detector = _detector()
    for index in range(5):
        detector.close([index, 0, 0, 0, 1], 60.0 * (index + 1))
    assert detector.since(180.0).tolist() == [7, 0, 0, 0, 2]
    assert detector.recent(2).tolist() == [7, 0, 0, 0, 2]
    assert detector.since(1e9).tolist() == [0, 0, 0, 0, 0]


def test_a_restored_detector_goes_on_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(8)
    one, other = _detector(), _detector()
    for index in range(90):
        one.close(rng.multinomial(50, P0), float(index))
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(one.snapshot()), type=EDetectorState))
    assert (other.log_s, other.alarm, other.onset) == (one.log_s, one.alarm, one.onset)
    bucket = rng.multinomial(50, SHIFTED)
    one.close(bucket, 91.0)
    other.close(bucket, 91.0)
    assert other.log_s == one.log_s
    assert other.onset == one.onset


def test_a_detector_without_rows_survives_a_snapshot_as_json() -> None:
    one, other = _detector(5.0), _detector()
    other.restore(msgspec.json.decode(msgspec.json.encode(one.snapshot()), type=EDetectorState))
    assert other.log_s == -math.inf
    assert other.onset == 5.0


def test_infinite_evidence_survives_a_snapshot() -> None:
    one = EDetector([500, 500, 0], 0.0, 1_000.0, now=0.0)
    other = EDetector([500, 500, 0], 0.0, 1_000.0, now=0.0)
    one.close([5, 5, 1], 1.0)
    assert one.log_s == math.inf
    other.restore(msgspec.json.decode(msgspec.json.encode(one.snapshot()), type=EDetectorState))
    assert other.alarm


def test_rows_that_come_in_groups_weigh_as_so_many_fewer() -> None:
    rng = np.random.default_rng(12)
    grouped = _detector()
    for index in range(64):
        grouped.close(10 * rng.multinomial(40, P0), float(index))
    assert grouped.overdispersion == pytest.approx(10, rel=0.35)
    starts = grouped.starts()
    assert starts.shape == (12, 5)  # 64 buckets are the whole, so that is no start of its own
    assert starts[-1] * grouped.overdispersion == pytest.approx(grouped.total)
    assert not grouped.alarm
    other = _detector()
    other.restore(grouped.snapshot())
    assert other.overdispersion == grouped.overdispersion
    learnt = grouped.overdispersion
    grouped.reset(64.0)
    other.restore(grouped.snapshot())
    assert grouped.overdispersion == other.overdispersion == learnt


def test_until_live_buckets_tell_the_factor_of_training_stands_in() -> None:
    rng = np.random.default_rng(14)
    detector = EDetector(BASELINE, 0.005, THRESHOLD, now=0.0, overdispersion=25.0)
    detector.close(rng.multinomial(100, P0), 0.0)
    assert detector.overdispersion == 25.0
    for index in range(20):
        detector.close(rng.multinomial(100, P0), float(index))
    assert detector.overdispersion < 2.0
    with pytest.raises(ValueError, match="over-dispersion"):
        EDetector(BASELINE, 0.005, THRESHOLD, now=0.0, overdispersion=0.5)


def test_buckets_may_be_dated_by_their_index_and_by_another_clock() -> None:
    detector = _detector()
    detector.close([10, 20, 40, 20, 10], 60.0, started_at=0.0)
    detector.close([100, 0, 0, 0, 0], 660.0, started_at=600.0)
    assert detector.onset == 600.0
    assert detector.since(600.0).sum() == 100
    detector.shift(-500.0)
    assert detector.onset == 100.0
    assert detector.since(100.0).sum() == 100
    detector.close([100, 0, 0, 0, 0], 220.0)
    assert detector.snapshot().buckets[-1].started_at == 160.0
    assert detector.snapshot().began_at == -500.0


def test_a_full_detector_of_twenty_cells_holds_less_than_eight_kibibytes_of_counts() -> None:
    detector = EDetector(np.full(20, 100), 0.005, THRESHOLD, now=0.0)
    for index in range(200):
        detector.close(np.full(20, 1_000_000), float(index))
    held = (detector._counts, detector._started_at, detector._total)
    assert sum(array.nbytes for array in held) < 8 * 1024


def test_a_snapshot_with_a_bucket_beyond_counting_is_refused() -> None:
    state = EDetectorState(0.0, 0.0, 0.0, (1, 1, 1, 1, 2**40), (ClosedBucket(0.0, (1, 1, 1, 1, 2**40)),))
    with pytest.raises(ValueError, match="more rows"):
        _detector().restore(state)


def test_a_reset_forgets() -> None:
    detector = _detector()
    detector.close([100, 0, 0, 0, 0], 60.0)
    assert detector.log_s > 100
    detector.reset(60.0)
    assert not detector.alarm
    assert detector.onset == 60.0
    assert detector.total.sum() == 0


@pytest.mark.parametrize("total", [(1, 2, 3), (1, 2, 3, 4, -5)])
def test_a_snapshot_of_other_cells_is_refused(total: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        _detector().restore(EDetectorState(0.0, 0.0, 0.0, total, ()))


@pytest.mark.parametrize("bucket", [[1, 2], [1, 2, 3, 4, -1], [0.5, 0, 0, 0, 0], [2**32, 0, 0, 0, 0]])
def test_a_bucket_that_is_none_is_refused(bucket: list[float]) -> None:
    with pytest.raises(ValueError, match="bucket"):
        _detector().close(bucket, 1.0)


def test_the_budget_pays_for_features_and_buckets() -> None:
    assert threshold(30, 60, 1) == 43_200
    assert threshold(30, 60, 50) == 43_200 * 50
    for settings in ((0, 60, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="above zero"):
            threshold(*settings)


@pytest.mark.parametrize(("tolerance", "bar"), [(-0.1, 10.0), (0.1, 1.0), (math.nan, 10.0)])
def test_settings_without_sense_are_refused(tolerance: float, bar: float) -> None:
    with pytest.raises(ValueError, match=r"tolerance|threshold"):
        EDetector(BASELINE, tolerance, bar, now=0.0)
