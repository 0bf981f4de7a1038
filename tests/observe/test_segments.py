from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sidecar.config_comparison import SegmentBy
from sidecar.observe.segments import Segments


def named(rule: SegmentBy, *values: Any) -> list[str]:
    return [names[0] for names in Segments([rule]).of(len(values), {rule.feature: list(values)})]


def test_values_that_the_settings_name_are_segments_and_no_other() -> None:
    rule = SegmentBy(feature="channel", values=("web", "1"))
    found = named(rule, "web", 1, 1.0, "1", "secret", None, math.nan, [1], True)
    assert found == [
        "channel=web", "channel=1", "channel=1", "channel=1", "channel=other", "channel=other", "channel=other",
        "channel=other", "channel=1",
    ]  # fmt: skip


def test_numbers_fall_between_the_edges() -> None:
    rule = SegmentBy(feature="amount", edges=(0.0, 100.0))
    found = named(rule, -1, 0, "99.9", 100, 1e9, "x", None, math.nan)
    assert found[:5] == ["amount<0", "0<=amount<100", "0<=amount<100", "amount>=100", "amount>=100"]
    assert found[5:] == ["amount=other"] * 3


def test_what_the_settings_name_is_known_before_any_row() -> None:
    rules = Segments([SegmentBy(feature="a", values=("x", "y")), SegmentBy(feature="b", edges=(0.0, 1.5))])
    assert rules.named == ("a=x", "a=y", "b<0", "0<=b<1.5", "b>=1.5")
    assert Segments([]).named == ()


def test_a_row_is_in_one_segment_of_each_feature() -> None:
    rules = Segments([SegmentBy(feature="a", values=("x",)), SegmentBy(feature="b", edges=(1.0,))])
    assert rules
    assert rules.of(2, {"a": ["x", "y"], "b": np.array([0.5, 2.0])}) == [("a=x", "b<1"), ("a=other", "b>=1")]


@pytest.mark.parametrize("features", [{}, {"a": ["x"]}])
def test_a_feature_that_is_not_there_or_has_other_rows_is_other(features: dict[str, list[str]]) -> None:
    assert Segments([SegmentBy(feature="a", values=("x",))]).of(2, features) == [("a=other",), ("a=other",)]


def test_without_rules_rows_are_in_none() -> None:
    assert not Segments([])
    assert Segments([]).of(2, {}) == [(), ()]
