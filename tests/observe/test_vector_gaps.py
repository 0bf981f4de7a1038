from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from sidecar.observe.vector_gaps import VectorGaps
from sidecar.reports import VectorDifference


def folded(*pairs: tuple[list[list[float]], list[list[float]]]) -> VectorGaps:
    gaps = VectorGaps()
    for champion, challenger in pairs:
        gaps.fold(champion, challenger)
    return gaps


def report(gaps: VectorGaps) -> VectorDifference:
    found = gaps.report()
    assert found is not None
    return found


def test_distance_angle_and_ranks_are_told() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=(300, 40))
    two = one + rng.normal(0.0, 0.1, size=one.shape)
    found = report(folded((one.tolist(), two.tolist())))
    cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    furthest = np.abs(two - one).max(1)
    assert found.n == 300
    assert found.cosine == pytest.approx(float(cosines.mean()))
    assert found.cosine_p5 == pytest.approx(float(np.quantile(cosines, 0.05)), abs=1e-3)
    assert found.max_abs == pytest.approx(float(furthest.max()))
    assert found.max_abs_p95 == pytest.approx(float(np.quantile(furthest, 0.95)), rel=0.02)
    assert found.same_first.value == float((one.argmax(1) == two.argmax(1)).mean())
    assert 0.8 < found.overlap_at_10 < 1.0


def test_the_same_vectors_are_the_same_whatever_their_size() -> None:
    found = report(folded(([[1e300, -1e300, 0.0]], [[1e300, -1e300, 0.0]]), ([[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])))
    assert found.cosine == pytest.approx(1.0)
    assert (found.max_abs, found.same_first.value, found.overlap_at_10) == (0.0, 1.0, 1.0)


def test_vectors_of_another_width_or_without_numbers_are_counted_apart() -> None:
    gaps = folded(
        ([[1.0, 2.0, 3.0]], [[1.0, 2.0]]),
        ([[1.0, 2.0, math.nan], [1.0, 0.0, 0.0]], [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]),
        ([], []),
    )
    found = report(gaps)
    assert (found.n, found.unlike, found.cosine, found.same_first.value) == (1, 2, 0.0, 0.0)
    assert VectorGaps().report() is None


def test_merging_adds_and_what_is_stored_comes_back() -> None:
    rows = np.random.default_rng(2).normal(size=(20, 5)).tolist()
    one, two = folded((rows[:10], rows[10:])), folded((rows[5:15], rows[:10]))
    whole = folded((rows[:10], rows[10:]), (rows[5:15], rows[:10]))
    one.merge(two)
    assert VectorGaps.from_document(one.to_document()).report() == one.report()
    assert report(one).max_abs_p95 == report(whole).max_abs_p95
    with pytest.raises(ValueError, match="agree"):
        VectorGaps.from_document(msgspec.structs.replace(one.to_document(), first=99))
