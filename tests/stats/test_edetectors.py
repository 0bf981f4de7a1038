from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.stats.edetector import EDetector, threshold
from sidecar.stats.edetectors import EDetectors

SIZES = (2, 5, 12, 20, 41)


def _detectors(seed: int) -> list[EDetector]:
    rng = np.random.default_rng(seed)
    return [
        EDetector(
            rng.multinomial(20_000, rng.dirichlet(np.full(size, 5.0))),
            0.006,
            threshold(30, 60, 5),
            now=0.0,
            ordered=size if index % 2 else 0,
        )
        for index, size in enumerate(SIZES)
    ]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 90))
def test_closing_together_is_bit_for_bit_closing_one_by_one(seed: int, buckets: int) -> None:
    together, apart = _detectors(seed), _detectors(seed)
    rng = np.random.default_rng(seed + 1)
    shares = [rng.dirichlet(np.full(size, 5.0)) for size in SIZES]
    sweep = EDetectors(together)
    for index in range(buckets):
        rows = [rng.multinomial(rng.integers(0, 3) * 40, share) for share in shares]
        sweep.close(rows, 60.0 * (index + 1))
        for detector, row in zip(apart, rows, strict=True):
            detector.close(row, 60.0 * (index + 1))
    for one, other in zip(together, apart, strict=True):
        assert one.log_s == other.log_s
        assert one.snapshot() == other.snapshot()
        assert (one.alarm, one.onset, one.overdispersion) == (other.alarm, other.onset, other.overdispersion)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 16))
def test_counts_of_replicas_add_in_any_order_to_the_same_bits(seed: int, replicas: int) -> None:
    rng = np.random.default_rng(seed)
    whole, merged = _detectors(3), _detectors(3)
    for index in range(20):
        rows = [rng.multinomial(300, np.full(size, 1 / size)) for size in SIZES]
        EDetectors(whole).close(rows, float(index))
        parts = [rng.multinomial(row, np.full(replicas, 1 / replicas)).T for row in rows]  # routed at random
        EDetectors(merged).close([rng.permutation(part).sum(axis=0) for part in parts], float(index))
    assert [detector.log_s for detector in merged] == [detector.log_s for detector in whole]


def test_a_bucket_that_is_none_folds_nothing_anywhere() -> None:
    detectors = _detectors(1)
    rows = [np.ones(size, dtype=np.int64) for size in SIZES]
    with pytest.raises(ValueError, match="41 cells"):
        EDetectors(detectors).close([*rows[:-1], rows[0]], 1.0)
    assert all(not detector.total.any() for detector in detectors)
    with pytest.raises(ValueError, match="shorter"):
        EDetectors(detectors).close(rows[:-1], 1.0)


def test_columns_without_rows_stay_as_they_were_and_a_reset_is_one_columns_own() -> None:
    detectors = _detectors(2)
    sweep = EDetectors(detectors)
    sweep.close([np.full(size, 7) for size in SIZES], 1.0)
    before = [detector.log_s for detector in detectors]
    sweep.close([np.zeros(size, dtype=np.int64) for size in SIZES], 2.0)
    assert [detector.log_s for detector in detectors] == before
    detectors[0].reset(3.0)
    assert not detectors[0].total.any()
    assert all(detector.total.any() for detector in detectors[1:])
    EDetectors([]).close([], 1.0)
