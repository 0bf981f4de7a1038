from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats.quality import QualityCounts

counts = st.lists(st.integers(0, 2**62), min_size=9, max_size=9).map(lambda values: QualityCounts(*values))


def labelled(*rows: tuple[str, str], positive: str | None = None) -> QualityCounts:
    total = QualityCounts()
    for row in rows:
        total.label(*row, positive=positive)
    return total


def scored(*rows: tuple[float, bool]) -> QualityCounts:
    total = QualityCounts()
    for row in rows:
        total.score(*row)
    return total


def merged(*parts: QualityCounts) -> QualityCounts:
    total = QualityCounts()
    for part in parts:
        total.merge(part)
    return total


def test_the_metrics_of_two_classes_are_those_of_the_confusion_matrix() -> None:
    rows = [("1", "1")] * 30 + [("1", "0")] * 10 + [("0", "1")] * 20 + [("0", "0")] * 40
    total = labelled(*rows, positive="1")
    assert (total.tp, total.fp, total.fn, total.tn) == (30, 10, 20, 40)
    assert total.accuracy == 0.7
    assert total.precision == 0.75
    assert total.recall == 0.6
    assert total.specificity == 0.8
    assert total.f1 == pytest.approx(2 / 3)


def test_with_more_classes_only_accuracy_is_known() -> None:
    total = labelled(("cat", "cat"), ("dog", "cat"), ("owl", "owl"))
    assert total.metrics == {"accuracy": pytest.approx(2 / 3)}


def test_probabilities_give_brier_and_log_loss() -> None:
    total = scored((0.8, True), (0.4, False))
    assert total.brier == pytest.approx((0.2**2 + 0.4**2) / 2, abs=1e-9)
    assert total.log_loss == pytest.approx((-math.log(0.8) - math.log(0.6)) / 2, abs=1e-9)


def test_a_certain_error_stays_finite() -> None:
    assert scored((1.0, False)).log_loss == pytest.approx(-math.log(2.0**-52))
    assert scored((0.0, False)).log_loss == 0.0


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_that_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        scored((probability, True))


def test_without_rows_nothing_is_known() -> None:
    assert QualityCounts().metrics == {}
    assert QualityCounts().intervals() == {}


def test_rows_that_are_taken_back_leave_nothing() -> None:
    total = scored((0.8, True), (0.3, True))
    total.label("1", "0", positive="1")
    total.label("1", "0", positive="1", sign=-1)
    total.score(0.3, True, sign=-1)
    total.score(0.8, True, sign=-1)
    assert total.brier_squares == pytest.approx(0.0, abs=1e-12)
    assert total.log_loss_squares == pytest.approx(0.0, abs=1e-12)
    assert msgspec.structs.astuple(total)[:9] == (0,) * 9


def test_every_metric_lies_in_its_interval_and_the_interval_narrows() -> None:
    rows = [("1", "1")] * 30 + [("1", "0")] * 10 + [("0", "1")] * 20 + [("0", "0")] * 40
    few, many = labelled(*rows * 2, positive="1"), labelled(*rows * 50, positive="1")
    for total in (few, many):
        for place in range(2 * total.n):
            total.score(0.3 + 0.4 * (place % 2), place % 3 == 0)
    assert set(many.intervals()) == set(many.metrics)
    for name, (low, high) in many.intervals().items():
        wide = few.intervals()[name]
        assert low < many.metrics[name] < high
        assert high - low < wide[1] - wide[0]


@given(counts, counts, counts)
def test_merging_is_associative_and_free_of_order(a: QualityCounts, b: QualityCounts, c: QualityCounts) -> None:
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, b) == merged(b, a)
    assert merged(a) == a
