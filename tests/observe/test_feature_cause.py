from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from registry_client.baseline import FeatureBaseline
from registry_client.from_columns import build_baseline
from registry_client.log_histogram import LogHistogram
from sidecar.observe.feature_cause import Moved, feature_cause, printable
from sidecar.reports import Cause

RNG = np.random.default_rng(5)
AMOUNTS = np.exp(RNG.normal(4.0, 1.0, 20_000))
CITIES = RNG.choice(["Bonn", "Kyiv", "Lima", "Oslo"], size=20_000, p=[0.4, 0.3, 0.2, 0.1])
GAPPY = [None if index % 5 == 0 else float(value) for index, value in enumerate(AMOUNTS)]
BASELINE = build_baseline(
    {"amount": AMOUNTS, "city": CITIES.tolist(), "gappy": GAPPY}, now=datetime(2026, 1, 1, tzinfo=UTC)
)


def _cause(
    name: str,
    column: Sequence[object],
    *,
    unseen: tuple[str, ...] = (),
    wrong_type: str | None = None,
    frequent: tuple[float, ...] = (),
) -> Cause:
    baseline: FeatureBaseline = BASELINE.by_name[name]
    numbers = LogHistogram()
    numbers.update([value for value in column if isinstance(value, float)])
    moved = Moved(baseline.cells.count(column), numbers, frequent, unseen, wrong_type)
    return feature_cause(baseline, moved, 0.007)


def _amounts(n: int = 600) -> list[float]:
    return [float(value) for value in np.exp(np.random.default_rng(9).normal(4.0, 1.0, n))]


def test_a_unit_change_is_named() -> None:
    cause = _cause("amount", [value / 100 for value in _amounts()])
    assert (cause.kind, cause.factor) == ("scale", 0.01)


@pytest.mark.parametrize("name", ["amount", "city"])
def test_growing_gaps_are_named_with_their_share(name: str) -> None:
    values: list[object] = [*_amounts()] if name == "amount" else [str(x) for x in CITIES[:600]]
    cause = _cause(name, [None if index % 3 == 0 else value for index, value in enumerate(values)])
    assert cause.kind == "missing"
    assert cause.share == pytest.approx(1 / 3, abs=0.01)
    assert cause.explained == 1.0
    assert "33.3% of the values are missing; in training 0.0% were" in cause.says


def test_gaps_that_training_had_too_are_no_cause() -> None:
    values: list[object] = [None if index % 5 == 0 else value / 100 for index, value in enumerate(_amounts())]
    assert _cause("gappy", values).kind == "scale"


def test_gaps_that_closed_are_not_called_missing() -> None:
    assert _cause("gappy", [*_amounts()]).kind == "unexplained"


def test_numbers_that_come_as_text_are_a_type() -> None:
    cause = _cause("amount", [str(value) for value in _amounts()], wrong_type="text")
    assert (cause.kind, cause.type_from, cause.type_to, cause.share) == ("type", "number", "text", 1.0)
    assert "text instead of number" in cause.says


def test_new_categories_are_named_five_at_most() -> None:
    column: list[object] = ["Bonn", "Kyiv", "Lima", "Oslo", "Rome"] * 100
    cause = _cause("city", column, unseen=("Rome", "b", "c", "d", "e", "f"))
    assert cause.kind == "new_category"
    assert cause.values == ("Rome", "b", "c", "d", "e")
    assert cause.share == pytest.approx(0.2)


def test_categories_in_another_spelling_are_a_recoding_with_its_values_aside() -> None:
    column: list[object] = [str(city).upper() for city in CITIES[:600]]
    baseline = BASELINE.by_name["city"]
    counted = {text: column.count(text) for text in ("BONN", "KYIV", "LIMA", "OSLO")}
    moved = Moved(
        baseline.cells.count(column), LogHistogram(), (), tuple(counted), None, unseen_rows=tuple(counted.values())
    )
    cause = feature_cause(baseline, moved, 0.007)
    assert (cause.kind, cause.says) == ("recode", "categories come in upper or lower case")
    assert set(cause.values) == {"Bonn → BONN", "Kyiv → KYIV", "Lima → LIMA", "Oslo → OSLO"}


def test_an_absent_key_and_the_length_of_lists_are_told() -> None:
    baseline = BASELINE.by_name["amount"]
    gone = Moved(baseline.cells.count([None] * 300), LogHistogram(), (), (), None, absent=300)
    assert feature_cause(baseline, gone, 0.007).says.endswith("requests lack the key itself")
    lists: list[object] = [[1.0, 2.0]] * 300
    listed = Moved(baseline.cells.count(lists), LogHistogram(), (), (), "list", lengths=(2,))
    assert feature_cause(baseline, listed, 0.007).says.endswith("come as list instead of number (of length 2)")


def test_other_shares_of_known_categories_are_unexplained() -> None:
    assert _cause("city", ["Oslo"] * 300 + ["Bonn"] * 100).kind == "unexplained"


def test_a_shift_of_the_world_is_unexplained() -> None:
    cause = _cause("amount", [value**1.1 * 1.1 for value in _amounts()])
    assert cause.kind == "unexplained"


def test_a_large_gap_beside_a_real_shift_is_still_named() -> None:
    values: list[object] = [None if index % 2 else value * 1.4 for index, value in enumerate(_amounts())]
    assert _cause("amount", values).kind == "missing"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Rome", "Rome"), ("a\r\nb\x1b[31m", "a��b�[31m"), ("x" * 10_000, "x" * 39 + "…"), ("\u202eevil", "�evil")],
)
def test_hostile_texts_are_made_harmless(text: str, shown: str) -> None:
    assert printable(text) == shown
