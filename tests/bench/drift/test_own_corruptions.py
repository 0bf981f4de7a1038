from __future__ import annotations

import numpy as np
import pytest

from bench.drift.own_corruptions import NUMBERS, WORDS, Break
from sidecar.reports import Cause

COLUMN = np.exp(np.random.default_rng(8).normal(2.0, 1.0, 500)).round(3)
BY_NAME = {one.name: one for one in (*NUMBERS, *WORDS)}


@pytest.mark.parametrize("corruption", NUMBERS, ids=lambda one: one.name)
def test_a_corruption_changes_a_column_and_keeps_its_length(corruption: Break) -> None:
    broken = corruption.breaks(COLUMN)
    assert len(broken) == len(COLUMN)
    assert [str(value) for value in broken] != [str(value) for value in COLUMN.tolist()] or broken.dtype.kind == "O"


def test_a_factor_is_right_only_near_what_was_done() -> None:
    hundred = BY_NAME["÷ 100 (cents as euros)"]
    assert hundred.holds(Cause(kind="scale", says="", factor=0.01), COLUMN)
    assert not hundred.holds(Cause(kind="scale", says="", factor=100.0), COLUMN)
    assert not hundred.holds(Cause(kind="scale", says="", factor=0.0104), COLUMN)
    assert not hundred.holds(Cause(kind="unexplained", says=""), COLUMN)


def test_words_lose_their_case_and_gaps_stay() -> None:
    broken = BY_NAME["lower case"].breaks(np.array(["Ab", None, "C"], dtype=object))
    assert broken.tolist() == ["ab", None, "c"]


@pytest.mark.parametrize(
    ("cause", "right"),
    [
        (Cause(kind="scaler", says="", factor=1.0, offset=0.0), True),
        (Cause(kind="scale", says="", factor=0.1), True),
        (Cause(kind="scale", says="", factor=0.104), False),
        (Cause(kind="scale", says=""), False),
        (Cause(kind="constant", says="", value=0.1), False),
    ],
)
def test_a_scaler_is_right_by_its_name_or_by_a_factor_that_makes_the_same(cause: Cause, right: bool) -> None:
    assert BY_NAME["scaled to 0..1"].holds(cause, np.linspace(0.0, 10.0, 200)) is right


def test_decimals_are_cut_only_where_more_than_one_number_is_left() -> None:
    assert BY_NAME["trunc"].applies(COLUMN)
    assert not BY_NAME["trunc"].applies(np.linspace(0.01, 0.99, 200))
