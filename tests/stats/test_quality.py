from __future__ import annotations

import math
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats.quality import QualityCounts

counts = st.lists(st.integers(0, 2**62), min_size=9, max_size=9).map(lambda values: QualityCounts(*values))


def test_the_metrics_of_two_classes_are_those_of_the_confusion_matrix() -> None:
    rows = [("1", "1")] * 30 + [("1", "0")] * 10 + [("0", "1")] * 20 + [("0", "0")] * 40
    total = reduce(lambda sum_, row: sum_.label(*row, positive="1"), rows, QualityCounts())
    assert (total.tp, total.fp, total.fn, total.tn) == (30, 10, 20, 40)
    assert total.accuracy == 0.7
    assert total.precision == 0.75
    assert total.recall == 0.6
    assert total.specificity == 0.8
    assert total.f1 == pytest.approx(2 / 3)


def test_with_more_classes_only_accuracy_is_known() -> None:
    total = QualityCounts().label("cat", "cat").label("dog", "cat").label("owl", "owl")
    assert total.metrics == {"accuracy": pytest.approx(2 / 3)}


def test_probabilities_give_brier_and_log_loss() -> None:
    total = QualityCounts().score(0.8, True).score(0.4, False)
    assert total.brier == pytest.approx((0.2**2 + 0.4**2) / 2, abs=1e-9)
    assert total.log_loss == pytest.approx((-math.log(0.8) - math.log(0.6)) / 2, abs=1e-9)


def test_a_certain_error_stays_finite() -> None:
    assert QualityCounts().score(1.0, False).log_loss == pytest.approx(-math.log(1e-12))
    assert QualityCounts().score(0.0, False).log_loss == 0.0


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_that_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        QualityCounts().score(probability, True)


def test_without_rows_nothing_is_known() -> None:
    assert QualityCounts().metrics == {}


@given(counts, counts, counts)
def test_merging_is_associative_and_free_of_order(a: QualityCounts, b: QualityCounts, c: QualityCounts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + QualityCounts() == a
