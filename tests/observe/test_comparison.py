from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from sidecar.records import DROP_REASONS, LEG_ERRORS, Answer, Leg, Prediction
from tests.observe.comparison_ground import exchange, folded, leg, observer, said


def test_nothing_seen_is_nothing_known() -> None:
    report = observer().report(1000.0)
    assert (report.since, report.mirrored_s, report.pairs, report.judged_requests) == (1000.0, 0.0, 0, 0)
    assert report.agreement is None
    assert report.agreement_basis is None
    assert report.score_difference is None
    assert report.prediction_psi is None
    assert (report.latency_champion.n, report.latency_champion.p50, report.latency_champion.p99) == (0, None, None)
    assert report.copies.errors == dict.fromkeys(LEG_ERRORS, 0)
    assert report.copies.dropped == dict.fromkeys(DROP_REASONS, 0)


def test_rows_are_pairs_and_requests_are_counted_apart() -> None:
    report = folded((said(("1", "0", "1")), said(("1", "1", "1"))), (said(("0",)), said(("0",))), (said(()), said(())))
    assert (report.pairs, report.paired_requests, report.judged_requests, report.unpaired) == (4, 3, 3, 0)
    assert report.flips == {"0→1": 1}
    assert report.agreement is not None
    assert report.agreement.value == 0.75
    assert 0.0 <= report.agreement.lower < 0.75 < report.agreement.upper <= 1.0
    assert report.mirrored_s == 2.0


@pytest.mark.parametrize(
    ("champion", "challenger", "basis", "agreement"),
    [
        (said(("1",), (0.9,)), said(("1",), (0.1,)), "labels", 1.0),
        (said(None, (0.50,)), said(None, (0.51,)), "scores", 1.0),
        (said(None, (0.50,)), said(None, (0.5101,)), "scores", 0.0),
        (said(("1",), (0.9,)), said(None, (0.9,)), "scores", 1.0),
        (said(None, (math.nan,)), said(None, (math.nan,)), "scores", 1.0),
        (said(None, (math.nan,)), said(None, (0.5,)), "scores", 0.0),
        (said(None, (math.inf,)), said(None, (math.inf,)), "scores", 1.0),
        (said(None, (math.inf,)), said(None, (-math.inf,)), "scores", 0.0),
    ],
)
def test_agreement_is_on_labels_where_there_are_any_else_on_scores(
    champion: Prediction, challenger: Prediction, basis: str, agreement: float
) -> None:
    report = folded((champion, challenger))
    assert report.agreement_basis == basis
    assert report.agreement is not None
    assert report.agreement.value == agreement


@pytest.mark.parametrize(
    ("champion", "challenger", "failures"),
    [
        (None, None, (0, 0)),  # the reader's fault
        (None, said(("1",)), (1, 0)),
        (said(("1",)), None, (0, 1)),
        (said(("1",)), said(("1", "0")), (0, 1)),
        (said(("1",)), said(None, (0.5,)), (0, 1)),
    ],
)
def test_an_answer_that_cannot_be_compared_is_unpaired_and_a_failure_of_whoever_gave_it(
    champion: Prediction | None, challenger: Prediction | None, failures: tuple[int, int]
) -> None:
    report = folded((champion, challenger))
    assert (report.champion_failures, report.challenger_failures) == failures
    assert (report.unpaired, report.pairs, report.paired_requests, report.judged_requests) == (1, 0, 0, 1)
    assert report.agreement is None
    assert report.prediction_psi is None
    assert report.latency_challenger.n == 0


@pytest.mark.parametrize(
    ("champion", "challenger", "expected"),
    [
        (leg("3"), leg("4", answer=None, error="timeout"), (1, 0, 1)),
        (leg("3"), leg("4", answer=Answer(500, "", "", b""), error="status_5xx"), (1, 0, 1)),
        (leg("3", answer=Answer(400, "", "", b"")), leg("4", answer=Answer(400, "", "", b"")), (1, 1, 1)),
        (leg("3", answer=None, error="reset"), leg("4"), (1, 1, 0)),
        (leg("3"), leg("4", answer=None, dropped="queue_full"), (0, 0, 0)),
        (leg("2"), leg("4"), (0, 0, 0)),  # another champion's exchange is no evidence on this pair
        (leg("3"), leg("5"), (0, 0, 0)),
    ],
)
def test_failures_are_of_the_requests_that_both_got(champion: Leg, challenger: Leg, expected: tuple[int, ...]) -> None:
    comparison = observer()
    comparison.fold(exchange(champion=champion), challenger, said(("1",)), said(("1",)))
    report = comparison.report(2000.0)
    assert (report.judged_requests, report.champion_failures, report.challenger_failures) == expected
    assert (report.pairs, report.unpaired) == (0, 0)


def test_score_differences_are_challenger_minus_champion() -> None:
    rng = np.random.default_rng(4)
    champion, challenger = rng.uniform(size=2000), rng.uniform(size=2000)
    report = folded((said(None, tuple(champion)), said(None, tuple(challenger))))
    difference = challenger - champion
    found = report.score_difference
    assert found is not None
    assert found.n == 2000
    assert found.mean == pytest.approx(difference.mean())
    assert found.mean_abs == pytest.approx(np.abs(difference).mean())
    assert found.max == pytest.approx(np.abs(difference).max())
    assert found.p50 == pytest.approx(np.quantile(np.abs(difference), 0.5), rel=0.03)
    assert found.p95 == pytest.approx(np.quantile(np.abs(difference), 0.95), rel=0.03)


def test_missing_and_infinite_scores_do_not_spoil_the_moments() -> None:
    report = folded((said(None, (0.5, math.nan, math.inf, -math.inf)), said(None, (0.75, 0.5, math.inf, 0.5))))
    assert report.score_difference is not None
    assert (report.score_difference.n, report.score_difference.mean, report.score_difference.max) == (1, 0.25, 0.25)
    assert all(math.isfinite(row.difference) for row in report.worst)
    assert b"null" not in msgspec.json.encode(report.worst)


def test_latency_is_joint_over_paired_requests_in_milliseconds() -> None:
    comparison = observer()
    for milliseconds in range(1, 101):
        champion = leg("3", latency_s=milliseconds / 1000)
        comparison.fold(exchange(champion=champion), leg(latency_s=milliseconds / 500), said(("1",)), said(("1",)))
    comparison.fold(exchange(), leg(answer=None, error="timeout", latency_s=60.0), said(("1",)), None)
    report = comparison.report(2000.0)
    assert report.latency_champion.n == report.latency_challenger.n == 100
    assert report.latency_champion.p50 == pytest.approx(50, rel=0.03)
    assert report.latency_challenger.p99 == pytest.approx(198, rel=0.03)


def test_the_worst_rows_come_first_and_are_twenty_at_most() -> None:
    pairs = [(said(("a",), (0.0,)), said(("b",), (place / 100,))) for place in range(60)]
    report = folded(*pairs, (said(("x" * 100,)), said(("y" * 100,))))
    assert len(report.worst) == 20
    first, second = report.worst[:2]
    assert (first.request_id, first.difference) == ("r60", 1.0)  # a flip without scores weighs 1
    assert len(first.champion) == 40
    assert (second.request_id, second.row, second.at) == ("r59", 0, 1059.0)
    assert (second.champion, second.challenger, second.difference) == ("a (0)", "b (0.59)", 0.59)
    assert [row.difference for row in report.worst] == sorted((row.difference for row in report.worst), reverse=True)


def test_a_difference_within_the_tolerance_is_no_disagreement() -> None:
    assert folded((said(("a",), (0.5,)), said(("a",), (0.505,)))).worst == ()


def test_flips_are_capped_and_the_rest_stands_under_other() -> None:
    many = folded(*[(said((f"a{place}",)), said(("b",))) for place in range(1000)], (said(("a0",)), said(("b",))))
    assert len(many.flips) == 20
    assert many.flips["a0→b"] == 2
    assert sum(many.flips.values()) == 1001
    few = folded(*[(said((f"a{place}",)), said(("b",))) for place in range(20)])
    assert len(few.flips) == 20
    assert "other" not in few.flips


def test_failures_are_told_by_kind_and_by_who_alone_failed() -> None:
    comparison = observer()
    timeout = leg("4", answer=None, error="timeout")
    bad = leg("3", answer=Answer(503, "", "", b""))
    for champion, challenger in ((leg("3"), timeout), (leg("3"), timeout), (bad, timeout), (bad, leg("4"))):
        comparison.fold(exchange(champion=champion), challenger, said(("1",)), said(("1",)))
    comparison.fold(exchange(), leg(), said(("1",)), None)
    comparison.fold(exchange(), leg(), said(("1",)), said(("1", "0")))
    comparison.fold(exchange(), leg(), said(None, (0.5,)), said(("1",)))
    comparison.fold(exchange(), leg(), said(None, (0.5, 0.5)), said(None, (math.nan, math.inf)))
    report = comparison.report(2000.0)
    assert report.failures == {"status_5xx": (2, 0), "structure": (0, 2), "timeout": (0, 3), "unreadable": (0, 1)}
    assert (report.champion_only_failures, report.challenger_only_failures) == (1, 5)
    assert report.structure == {"unreadable": 1, "rows": 1, "type": 1, "missing": 1, "non_finite": 1}


def test_labels_scores_ranks_and_speed_are_told_beside_each_other() -> None:
    comparison = observer()
    for row in range(40):
        score = row / 40
        champion, challenger = said((str(row % 2),), (score,)), said((str(row % 2 or row % 4 // 2),), (score / 2,))
        comparison.fold(exchange(), leg(latency_s=0.001 if row % 4 else 0.009), champion, challenger)
    report = comparison.report(2000.0)
    assert sum(rows for _, _, rows in report.confusion) == 40
    assert report.cohen_kappa == pytest.approx(0.5)
    assert report.spearman == pytest.approx(1.0, abs=0.01)
    assert report.slower is not None
    assert report.slower.value == 0.25
    flips = report.threshold_flips
    assert flips is not None
    assert (flips.n, flips.up, flips.down) == (40, 10, 0)
    assert sum(rows for _, _, rows in report.difference_histogram) == 40


@pytest.mark.parametrize(
    ("champion", "challenger", "expected"),
    [
        (said(None, (0.4, 0.6, 0.6)), said(None, (0.6, 0.4, 0.7)), (3, 1, 1)),
        (said(("true",)), said(("0",)), (1, 0, 1)),
        (said(None, (7.0, math.nan)), said(None, (0.4, 0.4)), None),
        (said(("cat",)), said(("dog",)), None),
    ],
)
def test_flips_at_the_threshold_have_a_direction(
    champion: Prediction, challenger: Prediction, expected: tuple[int, int, int] | None
) -> None:
    flips = folded((champion, challenger)).threshold_flips
    assert (None if flips is None else (flips.n, flips.up, flips.down)) == expected


def test_segments_have_an_agreement_each_and_are_bounded() -> None:
    comparison = observer()
    for number in range(200):
        names = [("c=web",), (f"s={number}",)]
        comparison.fold(exchange(), leg(), said(("1", "1")), said(("1", "0")), names)
    segments = {one.segment: one for one in comparison.report(2000.0).segments}
    assert len(segments) == 65
    assert segments["c=web"].pairs == 200
    agreement = segments["c=web"].agreement
    assert agreement is not None
    assert agreement.value == 1.0
    assert sum(one.pairs for one in segments.values()) == 400


def test_vectors_are_compared_where_both_versions_give_them() -> None:
    comparison = observer()
    one = Prediction(None, (0.7,), ((0.1, 0.2, 0.7),))
    comparison.fold(exchange(), leg(), one, Prediction(None, (0.6,), ((0.2, 0.6, 0.2),)))
    comparison.fold(exchange(), leg(), one, Prediction(None, (0.7,)))
    found = comparison.report(2000.0).vector_difference
    assert found is not None
    assert (found.n, found.same_first.value, found.overlap_at_10) == (1, 0.0, 1.0)
    assert found.max_abs == pytest.approx(0.5)
    restored = observer()
    restored.restore(comparison.snapshot())
    restored.merge(comparison)
    again = restored.report(2000.0).vector_difference
    assert again is not None
    assert again.n == 2
