"""Which segments a row belongs to, by what the settings name of its features.

Invariant: a name holds nothing of a row but a value or a border that the settings name themselves; every other row is
in the feature's segment "other". Rows may be in one segment of each feature. Does not count. Called by the watch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from sidecar.config_comparison import SegmentBy
from sidecar.observe.outcomes import as_number, label_text
from sidecar.records import Column

OTHER = "other"


class Segments:
    """The rules of one deployment.

    >>> rules = Segments([SegmentBy(feature="channel", values=("web",)), SegmentBy(feature="amount", edges=(10.0,))])
    >>> rules.of(2, {"channel": ["web", "x"], "amount": [3, 10.0]})
    [('channel=web', 'amount<10'), ('channel=other', 'amount>=10')]
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[SegmentBy]) -> None:
        self._rules = tuple(rules)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._rules)

    @property
    def named(self) -> tuple[str, ...]:
        """Every segment that the settings name themselves, so without what is left over."""
        by_value = (f"{rule.feature}={value}" for rule in self._rules for value in rule.values)
        by_number = (_part(rule, place) for rule in self._rules if rule.edges for place in range(len(rule.edges) + 1))
        return (*by_value, *by_number)

    def of(self, rows: int, features: Mapping[str, Column]) -> list[tuple[str, ...]]:
        """The names of each row's segments; a feature that is not there, or has other rows, is "other"."""
        named = [self._named(rule, rows, features.get(rule.feature)) for rule in self._rules]
        return list(zip(*named, strict=True)) if named else [()] * rows

    def _named(self, rule: SegmentBy, rows: int, column: Column | None) -> list[str]:
        if column is None or len(column) != rows:
            return [f"{rule.feature}={OTHER}"] * rows
        return [_name(rule, value) for value in column]


def _name(rule: SegmentBy, value: object) -> str:
    if rule.values:
        text = label_text(value) if isinstance(value, str | int | float) else None
        known = text is not None and text in rule.values
        return f"{rule.feature}={text if known else OTHER}"
    number = as_number(value) if isinstance(value, str | int | float) else None
    if number is None or not math.isfinite(number):
        return f"{rule.feature}={OTHER}"
    return _part(rule, bisect_right(rule.edges, number))


def _part(rule: SegmentBy, place: int) -> str:
    """The segment of a number with so many borders at or below it."""
    if place == 0:
        return f"{rule.feature}<{rule.edges[0]:g}"
    if place == len(rule.edges):
        return f"{rule.feature}>={rule.edges[-1]:g}"
    return f"{rule.edges[place - 1]:g}<={rule.feature}<{rule.edges[place]:g}"
