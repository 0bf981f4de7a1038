from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import numpy as np
import pytest

from sidecar.observe.comparison import ComparisonObserver
from sidecar.records import DROP_REASONS, LEG_ERRORS, Answer, Exchange, Leg, Prediction, ShadowCounts
from sidecar.reports import ComparisonReport, Copies
from sidecar.stats.psi import psi

OK = Answer(200, "application/json", "", b"{}")


def leg(version: str = "4", **more: Any) -> Leg:
    fields = {"answer": OK, "error": None, "dropped": None, "latency_s": 0.010, **more}
    return Leg(version=version, **fields)


def exchange(request_id: str = "r", at: float = 1000.0, champion: Leg | None = None) -> Exchange:
    return Exchange(
        request_id=request_id,
        deployment="fraud",
        generation=1,
        at=at,
        path="/",
        content_type="",
        content_encoding="",
        body=b"",
        body_complete=True,
        champion=champion or leg("3", latency_s=0.005),
        shadows=(),
    )


def said(labels: tuple[str, ...] | None = None, scores: tuple[float, ...] | None = None) -> Prediction:
    return Prediction(labels=labels, scores=scores)


def observer(tolerance: float = 0.01) -> ComparisonObserver:
    return ComparisonObserver("3", "4", score_tolerance=tolerance, now=1000.0)


def folded(*pairs: tuple[Prediction | None, Prediction | None], tolerance: float = 0.01) -> ComparisonReport:
    comparison = observer(tolerance)
    for place, (champion, challenger) in enumerate(pairs):
        comparison.fold(exchange(f"r{place}", 1000.0 + place), leg(), champion, challenger)
    return comparison.report(5000.0)


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


def test_prediction_psi_in_the_unit_interval_uses_twenty_fixed_cells() -> None:
    rng = np.random.default_rng(5)
    champion, challenger = rng.beta(2, 5, 3000), rng.beta(2, 4, 3000)
    report = folded((said(None, tuple(champion)), said(None, tuple(challenger))))
    expected = psi(np.histogram(champion, 20, (0, 1))[0], np.histogram(challenger, 20, (0, 1))[0])
    assert report.prediction_psi == pytest.approx(expected)
    assert expected > 0.02


def test_scores_at_both_ends_of_the_unit_interval_are_inside() -> None:
    assert folded((said(None, (0.0, 1.0)), said(None, (0.0, 1.0)))).prediction_psi == 0.0


def test_scores_beyond_the_unit_interval_are_compared_in_log_cells() -> None:
    rng = np.random.default_rng(6)
    champion = rng.lognormal(3, 1, 4000)
    same = folded((said(None, tuple(champion)), said(None, tuple(rng.lognormal(3, 1, 4000)))))
    moved = folded((said(None, tuple(champion)), said(None, tuple(champion * 100))))
    assert same.prediction_psi is not None
    assert same.prediction_psi < 0.03  # 20 groups: thin cells would give 0.2 of noise alone
    assert moved.prediction_psi is not None
    assert moved.prediction_psi > 2
    assert folded((said(None, (math.inf,)), said(None, (math.inf,)))).prediction_psi == 0.0
    infinite = folded((said(None, (math.inf,) * 50), said(None, (-math.inf,) * 50)))
    assert infinite.prediction_psi is not None
    assert infinite.prediction_psi > 1


def test_a_few_labels_do_not_speak_for_the_rows_without() -> None:
    few = [(said(("1",)), said(("1",)))]
    many = [(said(None, (0.1,)), said(None, (0.9,)))] * 299
    report = folded(*few, *many)
    assert report.agreement is not None
    assert report.pairs == 300
    assert report.agreement.value == pytest.approx(1 / 300)


@pytest.mark.parametrize(("scale", "labels"), [(1.0, None), (1_000.0, None), (1.0, ("0",))])
def test_scores_that_went_missing_are_a_shift(scale: float, labels: tuple[str, ...] | None) -> None:
    rng = np.random.default_rng(3)
    scores = (scale * rng.random(1_000)).tolist()
    half = [score if place % 2 else math.nan for place, score in enumerate(scores)]
    for told in (half, [math.nan] * 1_000):
        report = folded(*((said(labels, (a,)), said(labels, (b,))) for a, b in zip(scores, told, strict=True)))
        assert report.prediction_psi is not None
        assert report.prediction_psi > 1.0
    report = folded(*((said(labels, (score,)), said(labels, (score,))) for score in half))
    assert report.prediction_psi == 0.0


def test_labels_without_scores_are_compared_by_their_shares() -> None:
    report = folded((said(("a",) * 80 + ("b",) * 20), said(("a",) * 50 + ("b",) * 50)))
    assert report.prediction_psi == pytest.approx(psi([80, 20], [50, 50]))


def test_label_kinds_are_bounded() -> None:
    labels = tuple(f"id-{place}" for place in range(5000))
    comparison = observer()
    comparison.fold(exchange(), leg(), said(labels), said(labels[::-1]))
    assert len(comparison.snapshot()) < 60_000
    assert comparison.report(2000.0).prediction_psi is not None


def test_copies_add_up_from_worker_deltas() -> None:
    comparison = observer()
    comparison.fold_copies(ShadowCounts("fraud", 1, "3", "4", 10, 9, {"timeout": 1}, {"queue_full": 2}))
    comparison.fold_copies(Copies(mirrored=5, answered=5, errors={"status_5xx": 2, "timeout": 1}))
    copies = comparison.report(2000.0).copies
    assert (copies.mirrored, copies.answered, copies.due) == (15, 14, 17)
    assert (copies.errors["timeout"], copies.errors["status_5xx"], copies.dropped["queue_full"]) == (2, 2, 2)


def random_observer(rng: random.Random) -> ComparisonObserver:
    comparison = ComparisonObserver("3", "4", score_tolerance=0.01, now=1000.0 + rng.randrange(50))
    for place in range(rng.randrange(1, 60)):
        rows = rng.randrange(1, 4)
        labels = [tuple(rng.choice("01") for _ in range(rows)) for _ in range(2)]
        scores = [tuple(rng.randrange(64) / 32 for _ in range(rows)) for _ in range(2)]
        shadow = rng.choice([leg(), leg(), leg(answer=None, error="timeout"), leg(dropped="disabled")])
        request = exchange(f"{rng.random()}", 1000.0 + place * rng.randrange(1, 90))
        comparison.fold(request, shadow, said(labels[0], scores[0]), said(labels[1], scores[1]))
    comparison.fold_copies(Copies(mirrored=rng.randrange(9), errors={"reset": 1}, dropped={rng.choice("ab"): 2}))
    return comparison


def merged(*observers: ComparisonObserver) -> ComparisonObserver:
    total = ComparisonObserver("3", "4", score_tolerance=0.01, now=10_000.0)
    for one in observers:
        total.merge(one)
    return total


def test_merging_is_associative_and_free_of_order() -> None:
    rng = random.Random(7)
    for _ in range(10):
        a, b, c = (random_observer(rng) for _ in range(3))
        # Differences are multiples of 1/32: their sums are exact, so that equality may be asked.
        reports = [
            merged(merged(a, b), c).report(9e9),
            merged(a, merged(b, c)).report(9e9),
            merged(c, a, b).report(9e9),
        ]
        assert reports[0] == reports[1] == reports[2]
        assert reports[0].pairs == sum(one.report(9e9).pairs for one in (a, b, c))


def test_a_snapshot_restores_everything_and_counting_goes_on() -> None:
    rng = random.Random(8)
    original, restored = random_observer(rng), observer()
    restored.restore(original.snapshot())
    assert restored.report(9e9) == original.report(9e9)
    for one in (original, restored):
        one.fold(exchange("more", 9000.0), leg(), said(("1",), (0.1,)), said(("0",), (0.9,)))
    assert restored.report(9e9) == original.report(9e9)
    assert restored.snapshot() == original.snapshot()


def test_evidence_of_another_pair_or_damaged_bytes_are_refused_and_change_nothing() -> None:
    comparison = random_observer(random.Random(9))
    before = comparison.report(9e9)
    stranger = ComparisonObserver("3", "5", score_tolerance=0.01, now=0.0)
    other_tolerance = ComparisonObserver("3", "4", score_tolerance=0.02, now=0.0)
    good = comparison.snapshot()
    for blob in (stranger.snapshot(), other_tolerance.snapshot(), b"", good[:-1], b"\x80", b"\xff" * 9):
        with pytest.raises(ValueError, match=r"."):
            comparison.restore(blob)
    with pytest.raises(ValueError, match="does not belong"):
        comparison.merge(stranger)
    assert comparison.report(9e9) == before


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


def test_new_evidence_of_every_kind_survives_merge_and_restart() -> None:
    def filled(start: int) -> ComparisonObserver:
        comparison = observer()
        for number in range(start, start + 50):
            first, other = said(("1",), (number / 100,)), said((str(number % 2),), (number / 90,))
            comparison.fold(exchange(f"r{number}"), leg(), first, other, [("c=web",)])
            comparison.fold_again(first, first, other)
            comparison.fold_dropped(exchange(), first)
        comparison.fold(exchange(), leg(answer=None, error="reset"), said(("1",)), None)
        comparison.fold_copies(Copies(mirrored=60, answered=55), 1000.0)
        return comparison

    merged = filled(0)
    merged.merge(filled(50))
    restored = observer()
    restored.restore(merged.snapshot())
    assert restored.report(2000.0) == merged.report(2000.0)
    report = restored.report(2000.0)
    assert (report.copies.lost, report.noise is not None, report.challenger_only_failures) == (8, True, 2)
    assert [(one.segment, one.pairs) for one in report.segments] == [("c=web", 100)]


def test_a_snapshot_of_an_earlier_version_is_taken_up() -> None:
    comparison = observer()
    comparison.fold(exchange(), leg(), said(("1", "0"), (0.5, 0.5)), said(("1", "1"), (0.5, 0.7)))
    stored = msgspec.msgpack.decode(comparison.snapshot())
    gaps, agreement = stored["agreement"]["gaps"], stored["agreement"]
    for name in ("confusion", "gaps", "sides", "segments"):
        del agreement[name]
    agreement |= {"flips": {"0→1": 1}, "differences": gaps["signed"]}
    agreement |= {f"difference_{name}": gaps[name] for name in ("sum", "abs_sum", "max")}
    for name in ("relative_tolerance", "threshold", "arrivals", "noise"):
        del stored[name]
    again = observer()
    again.restore(msgspec.msgpack.encode(stored))
    then, now = comparison.report(2000.0), again.report(2000.0)
    assert (now.agreement, now.flips, now.score_difference) == (then.agreement, then.flips, then.score_difference)
    assert now.cohen_kappa is None


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
