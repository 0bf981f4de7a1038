from __future__ import annotations

import math
import random

import pytest

from sidecar.observe.quality import QualityObserver, RowPrediction
from sidecar.reports import VersionQuality
from sidecar.stats.exact_sum import as_float


def said(label: str | None = None, score: float | None = None) -> RowPrediction:
    return RowPrediction(label, score)


def judged(*rows: tuple[RowPrediction, str | float]) -> VersionQuality:
    quality = QualityObserver()
    for prediction, outcome in rows:
        quality.fold("3", prediction, outcome)
    return quality.report("3")


def test_nothing_matched_is_nothing_known() -> None:
    report = QualityObserver().report("3")
    assert (report.predicted, report.matched, report.coverage, report.metrics) == (0, 0, None, {})


def test_coverage_is_the_share_of_predicted_rows_with_an_outcome() -> None:
    quality = QualityObserver()
    quality.fold_predicted("3", 8)
    quality.fold("3", said("1"), "1")
    assert quality.report("3").coverage == 0.125
    assert quality.versions == ("3",)


def test_binary_labels_give_the_confusion_metrics() -> None:
    rows = [("1", "1")] * 6 + [("1", "0")] * 2 + [("0", "1")] * 3 + [("0", "0")] * 9
    metrics = judged(*[(said(label), outcome) for label, outcome in rows]).metrics
    assert metrics["accuracy"] == 0.75
    assert metrics["precision"] == 0.75
    assert metrics["recall"] == pytest.approx(6 / 9)
    assert metrics["specificity"] == pytest.approx(9 / 11)
    assert metrics["f1"] == pytest.approx(12 / 17)
    assert "brier" not in metrics


@pytest.mark.parametrize(
    ("label", "outcome", "right"),
    [
        ("1", "1", True), ("1", 1, True), ("1", 1.0, True), ("1", True, True), ("0", False, True), ("1", 0, False),
        ("1", "true", True), ("1", "false", False), ("0", "false", True),
        ("true", "true", True), ("true", 1, True), ("true", "1", True), ("false", 0.0, True),
        ("false", "true", False), ("fraud", "fraud", True), ("fraud", "ok", False), ("2", 2.0, True),
        ("007", "7", False), ("1.0", 1, True),
    ],
)  # fmt: skip
def test_outcomes_and_labels_are_compared_by_meaning(label: str, outcome: str | float, right: bool) -> None:
    assert judged((said(label), outcome)).metrics["accuracy"] == float(right)


@pytest.mark.parametrize(("outcome", "right"), [("true", 1.0), ("false", 0.0), ("1", 1.0), (0, 0.0)])
def test_a_score_alone_is_judged_at_one_half_whatever_the_outcome_is_called(outcome: str | float, right: float) -> None:
    assert judged((said(None, 0.9), outcome)).metrics["accuracy"] == right


def test_more_than_two_classes_have_accuracy_only() -> None:
    assert judged((said("0"), "0"), (said("2"), "1")).metrics == {"accuracy": 0.5}


def test_scores_of_the_positive_class_give_brier_and_log_loss() -> None:
    metrics = judged((said("1", 0.8), "1"), (said("0", 0.4), "0"), (said("0", math.nan), "0")).metrics
    assert metrics["accuracy"] == 1.0
    assert metrics["brier"] == pytest.approx((0.04 + 0.16) / 2)
    assert metrics["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, abs=1e-8)


def test_booleans_are_two_classes_too() -> None:
    metrics = judged((said("true", 0.8), True), (said("false", 0.4), "false")).metrics
    assert metrics["recall"] == 1.0
    assert metrics["brier"] == pytest.approx((0.04 + 0.16) / 2)


def test_scores_alone_are_judged_at_one_half_where_the_outcome_is_a_label() -> None:
    metrics = judged((said(None, 0.5), "1"), (said(None, 0.49), 1), (said(None, 0.1), "0")).metrics
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert "mae" not in metrics


def test_amounts_have_the_mean_absolute_error_and_no_accuracy() -> None:
    # 0.4 against 1.0 alone would look like a probability; the other rows show that it is not.
    metrics = judged((said(None, 10.0), 12.5), (said(None, 0.4), 1.0), (said(None, 3.0), "2.5")).metrics
    assert metrics == {
        "mae": pytest.approx((2.5 + 0.6 + 0.5) / 3),
        "rmse": pytest.approx(math.sqrt((2.5**2 + 0.6**2 + 0.5**2) / 3)),
    }


@pytest.mark.parametrize("prediction", [said(None, math.nan), said(None, math.inf), said(None, None), said(None, 0.5)])
def test_a_row_that_can_be_neither_right_nor_wrong_is_matched_only(prediction: RowPrediction) -> None:
    report = judged((prediction, "fraud"))
    assert (report.matched, report.metrics) == (1, {})


def test_the_pair_counts_who_was_right_on_the_same_row() -> None:
    quality = QualityObserver()
    rows = [("1", "1"), ("1", "0"), ("0", "1"), ("0", "1"), ("0", "0")]
    for champion, challenger in rows:
        quality.fold_row("3", {"3": said(champion), "4": said(challenger)}, "1")
    quality.fold_row("3", {"3": said(None, math.nan), "4": said("1")}, "1")
    pair = quality.paired("3", "4")
    assert (pair.matched, pair.better, pair.worse, pair.same) == (5, 2, 1, 2)
    assert pair.champion.matched == pair.challenger.matched == 5
    assert (pair.champion.metrics["accuracy"], pair.challenger.metrics["accuracy"]) == (0.4, 0.6)


def test_a_row_is_credited_to_every_version_and_paired_with_its_champion_only() -> None:
    quality = QualityObserver()
    quality.fold_row("3", {"3": said("1"), "4": said("0"), "5": said("1")}, "1")
    quality.fold_row("4", {"4": said("1"), "3": said("1")}, "1")
    assert [quality.report(version).matched for version in ("3", "4", "5")] == [2, 2, 1]
    assert (quality.paired("3", "4").worse, quality.paired("3", "5").same, quality.paired("4", "3").same) == (1, 1, 1)
    assert quality.paired("4", "5").matched == 0
    quality.forget_pair("3", "4")
    assert quality.paired("3", "4").matched == 0
    assert quality.report("4").matched == 2


def test_a_correction_takes_the_first_value_back() -> None:
    corrected, direct = QualityObserver(), QualityObserver()
    row = {"3": said("1", 0.7), "4": said("0", 0.2)}
    corrected.fold_row("3", row, "1")
    corrected.fold_row("3", row, "0", replaces="1")
    direct.fold_row("3", row, "0")
    assert corrected.report("3") == direct.report("3")
    assert corrected.paired("3", "4") == direct.paired("3", "4")


def random_observer(rng: random.Random) -> QualityObserver:
    quality = QualityObserver()
    for _ in range(rng.randrange(1, 40)):
        row = {version: said(rng.choice("01"), rng.random()) for version in ("3", "4")}
        quality.fold_predicted("3", 2)
        quality.fold_row("3", row, rng.choice("01"))
    return quality


def merged(*observers: QualityObserver) -> QualityObserver:
    total = QualityObserver()
    for one in observers:
        total.merge(one)
    return total


def test_merging_is_associative_and_free_of_order() -> None:
    rng = random.Random(10)
    a, b, c = (random_observer(rng) for _ in range(3))
    sums = [merged(merged(a, b), c), merged(a, merged(b, c)), merged(c, b, a)]
    assert len({repr((one.report("3"), one.report("4"), one.paired("3", "4"))) for one in sums}) == 1
    assert sums[0].report("3").matched == sum(one.report("3").matched for one in (a, b, c))


def test_a_snapshot_restores_everything_and_leaves_the_original_alone() -> None:
    original, restored = random_observer(random.Random(11)), QualityObserver()
    restored.restore(original.snapshot())
    assert restored.snapshot() == original.snapshot()
    before = original.report("3")
    restored.fold_row("3", {"3": said("1"), "4": said("1")}, "1")
    assert original.report("3") == before
    assert restored.paired("3", "4").matched == original.paired("3", "4").matched + 1


def test_a_damaged_snapshot_is_refused_and_changes_nothing() -> None:
    quality = random_observer(random.Random(12))
    before = quality.report("3")
    for blob in (b"", quality.snapshot()[:-1], b"\x80"):
        with pytest.raises(ValueError, match=r"."):
            quality.restore(blob)
    assert quality.report("3") == before


def paired_scores(rows: int, shift: float, seed: int = 9) -> QualityObserver:
    """A champion whose probabilities are right, and a challenger whose are moved."""
    rng, quality = random.Random(seed), QualityObserver()
    for _ in range(rows):
        score = rng.random()
        truth = str(int(rng.random() < score))
        moved = min(1.0, max(0.0, score + shift + rng.gauss(0.0, 0.02)))
        quality.fold_row("3", {"3": said(None, score), "4": said(None, moved)}, truth)
    return quality


def test_gaps_are_challenger_less_champion_with_an_interval_each() -> None:
    gaps = paired_scores(4_000, 0.2).paired("3", "4").gaps
    assert set(gaps) == {"accuracy", "brier", "log_loss", "ece"}
    for name in ("brier", "log_loss", "ece"):
        assert 0.0 < gaps[name].lower < gaps[name].value < gaps[name].upper
    assert gaps["accuracy"].upper < 0.01
    near = paired_scores(4_000, 0.0).paired("3", "4").gaps
    assert all(gap.lower < 0.0 < gap.upper for gap in near.values())
    assert near["ece"].upper < 0.03


def test_of_amounts_the_errors_are_compared_though_nobody_is_right() -> None:
    quality = QualityObserver()
    for row in range(200):
        truth = 100.0 + row
        quality.fold_row("3", {"3": said(None, truth + 10.0), "4": said(None, truth + 9.0 + row % 2)}, truth)
    pair = quality.paired("3", "4")
    assert pair.matched == 0
    assert pair.gaps["mae"].value == pytest.approx(-0.5)
    assert pair.gaps["mae"].upper < 0.0
    assert pair.champion.metrics == {"mae": pytest.approx(10.0), "rmse": pytest.approx(10.0)}
    rows, sizes, squares = quality.amounts("3")
    assert rows == 200
    assert [as_float(sizes), as_float(squares)] == pytest.approx([2_000.0, 20_000.0])
    assert paired_scores(5, 0.0).amounts("3") == (0, 0, 0)


def test_an_amount_beyond_all_others_is_gone_once_it_was_corrected() -> None:
    clean, slipped = QualityObserver(), QualityObserver()
    for row in range(200):
        clean.fold_row("3", {"3": said(None, 100.0)}, 100.0 + row)
        first = 1e18 if row == 100 else 100.0 + row
        slipped.fold_row("3", {"3": said(None, 100.0)}, first)
    slipped.fold_row("3", {"3": said(None, 100.0)}, 200.0, replaces=1e18)
    assert slipped.report("3") == clean.report("3")
    assert slipped.snapshot() == clean.snapshot()
    restored = QualityObserver()
    restored.restore(slipped.snapshot())
    assert restored.amounts("3") == clean.amounts("3")


def test_every_metric_has_an_interval_and_probabilities_their_bins() -> None:
    report = paired_scores(2_000, 0.0).report("3")
    assert set(report.intervals) == set(report.metrics)
    assert all(bounds.lower <= bounds.value <= bounds.upper for bounds in report.intervals.values())
    assert report.auc_error == 0.0
    assert sum(one.n for one in report.reliability) == 2_000
    assert all(one.came_true == pytest.approx(one.score, abs=0.15) for one in report.reliability)


def test_outcomes_that_are_missing_leave_accuracy_between_bounds() -> None:
    quality = QualityObserver()
    quality.fold_predicted("3", 10)
    for outcome in ("1", "1", "1", "0"):
        quality.fold("3", said("1"), outcome)
    assert quality.report("3").bounds == pytest.approx((0.3, 0.9))


def test_the_segment_in_which_a_challenger_is_worse_is_named_and_the_others_are_not() -> None:
    rng, quality = random.Random(13), QualityObserver()
    for row in range(6_000):
        segment, truth = f"channel={'web' if row % 3 else 'app'}", rng.choice("01")
        wrong = rng.random() < (0.2 if segment == "channel=app" else 0.02)
        other = "1" if truth == "0" else "0"
        right = truth if rng.random() < 0.97 else other
        row_said = {"3": said(right), "4": said(other if wrong else truth)}
        quality.fold_row("3", row_said, truth, segments=(segment,))
    found = {one.segment: one for one in quality.paired("3", "4").segments}
    assert found["channel=app"].inferior
    assert not found["channel=web"].inferior
    assert found["channel=app"].matched == 2_000
    assert found["channel=app"].e_inferior > 100.0 > found["channel=web"].e_inferior


def test_segments_are_bounded_and_those_beyond_are_summed_up() -> None:
    quality = QualityObserver()
    for row in range(100):
        quality.fold_row("3", {"3": said("1"), "4": said("1")}, "1", segments=(f"s={row}",))
    segments = quality.paired("3", "4").segments
    assert len(segments) == 65
    assert sum(one.matched for one in segments) == 100


def test_the_threshold_says_what_a_score_means() -> None:
    quality = QualityObserver(threshold=0.2)
    quality.fold("3", said(None, 0.3), "1")
    assert quality.report("3").metrics["recall"] == 1.0
