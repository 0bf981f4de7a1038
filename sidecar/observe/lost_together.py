"""Features that went missing together: a request that lost k fields is one fault and not k.

Keeps: features are one group only where they went missing in the same share of the rows at about the same time, and
the count of rows that lack a key does not say that they were other rows. Groups do not depend on the order of names.
Does not: decide that something is missing, nor what becomes of the group's alarms. Pure.
Called by: the alarms, for one story.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.reports import FeatureDrift

CLOSE_S = 180.0  # onsets are known to a bucket or two
_SHARE_APART = 0.02
_ERRORS = 3.0
_LABEL = "missing"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class LostTogether:
    """Features of one fault, the weightiest evidence first; `share` of the rows lost them, since `since` (seconds).

    `same_rows`: the rows that lack any key are no more than those that lack one of these, so they are the same rows;
    False where that is not known, as where values are null and no key is absent.
    """

    names: tuple[str, ...]
    share: float
    since: float
    same_rows: bool

    @property
    def says(self) -> str:
        """A sentence about all of them.

        >>> LostTogether(("age", "city"), 0.25, 0.0, same_rows=True).says
        'age and city are missing together, in 25% of the rows: those requests lost 2 fields at once'
        """
        shown = [*self.names] if len(self.names) <= _NAMED + 1 else [*self.names[:_NAMED]]
        rest = len(self.names) - len(shown)
        last = f"{rest} more" if rest else shown.pop()
        rows = "all rows" if self.share >= 0.995 else f"{self.share:.0%} of the rows"
        end = f"those requests lost {len(self.names)} fields at once" if self.same_rows else "one fault, as it seems"
        return f"{', '.join(shown)} and {last} are missing together, in {rows}: {end}"


@dataclass(frozen=True, slots=True)
class _Lost:
    """One feature: the share of the rows that training would have filled and that are missing now."""

    name: str
    share: float
    n: int
    since: float
    weight: float

    @property
    def variance(self) -> float:
        return self.share * (1.0 - self.share) / self.n


def lost_together(
    features: Sequence[FeatureDrift], schema: FeatureDrift | None, close_s: float = CLOSE_S
) -> tuple[LostTogether, ...]:
    """The groups of two features or more among those whose alarm's cause is that values are missing.

    Args:
        features: a report's; those without an alarm, or with another cause, are passed over.
        schema: the report's column of the rows' form, for how many rows lack a key at all.
        close_s: onsets may lie so far apart.
    """
    lost = sorted(filter(None, map(_lost, features)), key=lambda one: (-one.weight, one.name))
    groups: list[list[_Lost]] = []
    for one in lost:
        alike = next((group for group in groups if _alike(group[0], one, close_s)), None)
        if alike is None:
            groups.append([one])
        else:
            alike.append(one)
    lacking = _lacking(schema)
    if lacking is not None and lacking > sum(group[0].share + _error(group[0]) for group in groups):
        return ()  # more rows lack a key than any one of the features: they were lost in different rows
    return tuple(
        LostTogether(
            names=tuple(one.name for one in group),
            share=round(group[0].share, 4),
            since=min(one.since for one in group),
            same_rows=lacking is not None and len(groups) == 1 and lacking >= group[0].share - _error(group[0]),
        )
        for group in groups
        if len(group) > 1
    )


def _lost(feature: FeatureDrift) -> _Lost | None:
    if not feature.alarm or feature.cause is None or feature.cause.kind != "missing" or not feature.n:
        return None
    before, rows = feature.baseline_counts, sum(feature.baseline_counts)
    usual = before[feature.cells.index(_LABEL)] / rows if rows and _LABEL in feature.cells else 0.0
    if usual >= 1.0:
        return None
    # The cause's own share: it leaves out the bucket of the onset, as the schema's does.
    share = min(max((feature.cause.share - usual) / (1.0 - usual), 0.0), 1.0)
    return _Lost(feature.name, share, feature.n, feature.since or 0.0, feature.kl_lower)


def _lacking(schema: FeatureDrift | None) -> float | None:
    """The share of rows that lack a key which training always had; None where that is no alarm."""
    if schema is None or not schema.alarm or schema.cause is None or schema.cause.kind != "missing":
        return None
    return schema.cause.share


def _alike(one: _Lost, other: _Lost, close_s: float) -> bool:
    apart = _SHARE_APART + _ERRORS * math.sqrt(one.variance + other.variance)
    return abs(one.since - other.since) <= close_s and abs(one.share - other.share) <= apart


def _error(one: _Lost) -> float:
    return _SHARE_APART + _ERRORS * math.sqrt(2.0 * one.variance)
