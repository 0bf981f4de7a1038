from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.records import ShadowCounts
from sidecar.reports import Copies
from sidecar.stats.psi import psi
from tests.observe.comparison_ground import exchange, folded, leg, observer, said


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
