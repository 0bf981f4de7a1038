from __future__ import annotations

import random

import msgspec
import pytest

from sidecar.observe.cohorts import Cohorts, CohortsDocument
from sidecar.observe.judged import RowPrediction
from sidecar.observe.quality import QualityObserver
from sidecar.reports import Maturity

DAY_S = 86_400.0
NOW = 1_000 * DAY_S


def observer(
    rows: int, *, delay_s: float = 3_600.0, known: float = 1.0, seed: int = 1, spread_s: float = 10 * DAY_S
) -> QualityObserver:
    """Rows over the last ten days: the challenger is right where the champion is, and on one of ten more."""
    rng, quality = random.Random(seed), QualityObserver()
    for place in range(rows):
        at, score = NOW - spread_s * rng.random(), rng.random()
        truth = str(int(rng.random() < score))
        said = {"3": RowPrediction(None, score), "4": RowPrediction(truth if place % 10 == 0 else None, score)}
        quality.fold_row_predicted(at, "3", said)
        quality.fold_predicted("3", 1)
        if at + delay_s <= NOW and rng.random() < known:
            quality.fold_row("3", said, truth, at=at, received=at + delay_s)
    return quality


def mature(quality: QualityObserver, now: float = NOW) -> Maturity:
    found = quality.paired("3", "4", now).maturity
    assert found is not None
    return found


def test_only_rows_whose_outcome_had_its_time_are_mature() -> None:
    quality = observer(2_000, delay_s=5 * DAY_S)
    found = mature(quality)
    assert found.after_s == pytest.approx(5 * DAY_S, rel=0.02)
    assert found.predicted == pytest.approx(1_000, rel=0.1)
    assert found.coverage is not None
    assert found.coverage > 0.97
    assert found.better + found.worse + found.same == pytest.approx(found.matched, rel=0.05)
    assert quality.paired("3", "4").maturity is None


def test_while_few_delays_are_known_nothing_is_mature() -> None:
    found = mature(observer(10))
    assert (found.after_s, found.predicted, found.coverage, found.bounds) == (None, 0, None, None)


def test_rows_without_an_outcome_widen_the_bounds_by_those_on_which_the_two_differ() -> None:
    found = mature(observer(4_000, known=0.5))
    assert found.coverage == pytest.approx(0.5, abs=0.03)
    assert found.worse == 0
    assert 0 < found.undecided < found.differing
    assert found.bounds is not None
    low, high = found.bounds
    assert low < found.better / 4_000 < high
    assert high - low == pytest.approx(2 * found.undecided / 4_000, rel=0.05)
    assert found.refused is None
    assert found.arrival_e < 20


def test_labelling_only_rows_that_differ_says_the_same_as_labelling_all_of_them() -> None:
    found = []
    for only_differing in (False, True):
        quality, rng = QualityObserver(), random.Random(8)
        for _ in range(5_000):
            truth, at = rng.choice("01"), NOW - 5 * DAY_S
            champion = truth if rng.random() < 0.9 else str(1 - int(truth))
            challenger = champion if rng.random() < 0.94 else str(1 - int(champion))
            said = {"3": RowPrediction(champion, None), "4": RowPrediction(challenger, None)}
            quality.fold_row_predicted(at, "3", said)
            if (champion != challenger or not only_differing) and rng.random() < 0.5:
                quality.fold_row("3", said, truth, at=at, received=at + 60.0)
        found.append(mature(quality))
    whole, part = found
    assert part.better + part.worse < 200
    assert part.matched < whole.matched / 10
    differences = [(one.better - one.worse) / (one.better + one.worse + one.same) for one in found]
    assert differences[0] == pytest.approx(differences[1], abs=0.01)
    assert -0.07 < differences[1] < -0.03
    assert part.same == pytest.approx(whole.same, rel=0.1)


def test_outcomes_that_come_for_high_scores_only_are_told() -> None:
    quality, rng = QualityObserver(), random.Random(2)
    for _ in range(2_000):
        score, at = rng.random(), NOW - 5 * DAY_S
        said = {"3": RowPrediction(None, score), "4": RowPrediction(None, score)}
        quality.fold_row_predicted(at, "3", said)
        if rng.random() < 0.3 + 0.5 * score:
            quality.fold_row("3", said, "1", at=at, received=at + 60.0)
    assert mature(quality).arrival_e > 1_000
    assert mature(quality).refused is None


def test_where_the_champions_decision_prevents_the_outcome_nothing_can_be_judged() -> None:
    quality, rng = QualityObserver(), random.Random(3)
    for _ in range(2_000):
        declined, at = rng.random() < 0.4, NOW - 5 * DAY_S
        said = {"3": RowPrediction("declined" if declined else "granted", None), "4": RowPrediction("granted", None)}
        quality.fold_row_predicted(at, "3", said)
        if not declined:
            quality.fold_row("3", said, "granted", at=at, received=at + 60.0)
    refused = mature(quality).refused
    assert refused is not None
    assert "declined" in refused


def test_a_correction_is_taken_back_where_it_was_counted() -> None:
    first, second = observer(500), observer(500)
    said = {"3": RowPrediction("1", None), "4": RowPrediction("0", None)}
    at = NOW - DAY_S
    first.fold_row("3", said, "1", at=at, received=at)
    first.fold_row("3", said, "0", "1", at=at, received=at)
    second.fold_row("3", said, "0", at=at, received=at)
    assert mature(first) == mature(second)


def test_periods_double_when_there_are_many_and_nothing_is_lost() -> None:
    quality = observer(3_000, spread_s=400 * DAY_S)
    document = quality._cohorts.to_document()
    assert len(document.periods) <= 256
    assert document.period_s > 60.0
    assert sum(sum(period.predicted) for period in document.periods.values()) == 3_000


def test_merging_is_free_of_order_and_of_the_length_of_periods() -> None:
    def merged(*parts: QualityObserver) -> Maturity:
        whole = QualityObserver()
        for part in parts:
            whole.merge(part)
        return mature(whole)

    a, b = observer(400, seed=4), observer(1_500, seed=5, spread_s=400 * DAY_S)
    assert merged(a, b) == merged(b, a)
    assert merged(a, b).predicted > 1_800


@pytest.mark.parametrize("seed", range(3))
def test_of_many_decisions_the_same_are_named_whatever_came_first(seed: int) -> None:
    rng = random.Random(seed)
    rows = [(NOW - rng.random() * 37.0, str(rng.randrange(60))) for _ in range(900)]
    parts = Cohorts(), Cohorts(), Cohorts()
    for place, (at, decision) in enumerate([*rows, *rng.sample(rows, len(rows))]):
        said, part = RowPrediction(decision, None), parts[0] if place < len(rows) else rng.choice(parts[1:])
        part.fold_predicted(at, "3", None, {"3": decision})
        part.fold_outcome(at, said, {}, 0.5)
    parts[2].merge(parts[1])
    whole, merged = (msgspec.to_builtins(part.to_document()) for part in (parts[0], parts[2]))
    assert merged == whole
    assert max(len(period[2]) for period in whole["periods"].values()) == 17
    assert sum(rows for period in whole["periods"].values() for rows, _ in period[2].values()) == len(rows)


def test_a_challenger_whose_evidence_begins_anew_has_no_mature_rows() -> None:
    quality = observer(500)
    quality.forget_pair("3", "4")
    found = mature(quality)
    assert (found.better, found.same, found.differing) == (0, 0, 0)
    assert found.predicted > 400


def test_what_was_predicted_comes_back_without_outcomes_so_that_these_can_be_counted_again() -> None:
    quality, again = observer(500), QualityObserver()
    again.restore_predicted(quality.snapshot_predicted())
    assert again.report("3").predicted == 500
    assert again.report("3").matched == 0
    documents = [one._cohorts.to_document() for one in (quality, again)]
    assert [sum(sum(p.predicted) for p in d.periods.values()) for d in documents] == [500, 500]
    assert sum(sum(p.labelled) for p in documents[1].periods.values()) == 0
    with pytest.raises(ValueError, match=r"."):
        again.restore_predicted(b"\x80")


def test_a_whole_snapshot_brings_cohorts_back_and_a_damaged_one_is_refused() -> None:
    quality, again = observer(500), QualityObserver()
    again.restore(quality.snapshot())
    assert mature(again) == mature(quality)
    document = quality._cohorts.to_document()
    for damaged in (
        msgspec.structs.replace(document, period_s=0.0),
        CohortsDocument(
            60.0, {0: next(iter(document.periods.values()))}, msgspec.structs.replace(document.delays, nan=-1)
        ),
    ):
        with pytest.raises(ValueError, match=r"."):
            Cohorts.from_document(damaged)
