from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats import roc as roc_module
from sidecar.stats.roc import Roc, RocCells, RocDocument, key_of

Rows = list[tuple[float, bool]]
rows_of = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=60)


def cells_of(rows: Rows) -> RocCells:
    cells = RocCells()
    for score, positive in rows:
        cells.add(key_of(score), positive)
    return cells


def area(rows: Rows) -> float | None:
    """By the definition: every pair of a positive and a negative."""
    highs, lows = [s for s, p in rows if p], [s for s, p in rows if not p]
    if not highs or not lows:
        return None
    won = sum((high > low) + 0.5 * (high == low) for high in highs for low in lows)
    return won / (len(highs) * len(lows))


def read(cells: RocCells) -> Roc:
    found = cells.read()
    assert found is not None
    return found


@given(rows_of)
def test_the_area_is_the_share_of_pairs_in_order(rows: Rows) -> None:
    found, expected = cells_of(rows).read(), area(rows)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.area == pytest.approx(expected, abs=1e-12)
        assert found.error == 0.0


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_keys_are_in_the_order_of_scores_and_tell_them_apart(one: float, two: float) -> None:
    assert (key_of(one) < key_of(two)) == (one < two)
    assert (key_of(one) == key_of(two)) == (one == two)


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="score"):
        key_of(score)


def test_beyond_the_limit_the_exact_area_lies_within_the_error_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roc_module, "LIMIT", 64)
    rng = random.Random(4)
    rows = [(rng.betavariate(0.3, 3.0) if rng.random() < 0.5 else rng.random(), rng.random() < 0.3) for _ in range(900)]
    rows += [(1.0 - score / 1e6, positive) for score, positive in rows[:200]]
    found = read(cells_of(rows))
    assert 0.0 < found.error < 0.05
    assert found.area == pytest.approx(area(rows), abs=found.error)


def test_order_and_merging_change_nothing_also_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roc_module, "LIMIT", 64)
    monkeypatch.setattr(roc_module, "_WAITING", 10)
    rng = random.Random(5)
    rows = [(rng.random(), rng.random() < 0.4) for _ in range(500)]
    whole, apart = cells_of(rows), cells_of(rows[300:])
    apart.merge(cells_of(rows[:100]))
    apart.merge(cells_of(rows[100:300]))
    assert whole.to_document() == cells_of(rows[::-1]).to_document() == apart.to_document()


def test_what_is_taken_back_leaves_the_rest() -> None:
    rows = [(0.2, False), (0.7, True), (0.4, False), (0.4, True)]
    cells = cells_of(rows)
    for score, positive in ((0.9, False), (0.4, True)):
        cells.add(key_of(score), positive)
        assert cells.read() != cells_of(rows).read()
        cells.add(key_of(score), positive, -1)
        assert cells.read() == cells_of(rows).read()


def test_the_interval_covers_the_true_area_at_every_look() -> None:
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(60):
        cells, left_out = RocCells(), False
        positive = rng.random(2_000) < 0.3
        scores = 1.0 / (1.0 + np.exp(-rng.normal(positive * 1.0, 1.0)))
        for place, (score, came_true) in enumerate(zip(scores.tolist(), positive.tolist(), strict=True), 1):
            cells.add(key_of(score), came_true)
            if place % 200 == 0:
                bounds = read(cells).interval()
                assert bounds is not None
                left_out |= not bounds[0] <= 0.7602 <= bounds[1]  # Φ(1/√2)
        missed += left_out
    assert missed <= 6, f"{missed} of 60"


def test_a_perfect_order_so_far_is_no_certainty() -> None:
    bounds = read(cells_of([(0.1, False)] * 100 + [(0.9, True)] * 100)).interval()
    assert bounds is not None
    assert bounds[0] < 0.999


def test_a_document_brings_everything_back_and_a_damaged_one_is_refused() -> None:
    document = cells_of([(0.1, False), (0.4, True), (0.4, False)]).to_document()
    assert RocCells.from_document(document).to_document() == document
    for damaged in (
        RocDocument(document.cells, document.negatives, b"", 0),
        RocDocument(document.cells[:-1], document.negatives, document.positives, 0),
        RocDocument(document.cells[::-1], document.negatives, document.positives, 0),
        RocDocument(document.cells, document.negatives, document.positives, 99),
    ):
        with pytest.raises(ValueError, match="damaged"):
            RocCells.from_document(damaged)
