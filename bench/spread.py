"""Values of several rounds summed up: median, least, most; ratios and differences taken within each round.

Pure. A ratio's median is over the rounds' own ratios, since a noisy round slows all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """A median over rounds, and the least and most that it was taken from."""

    median: float
    least: float
    most: float

    def shown(self, digits: int) -> str:
        """As text, with least and most where they differ: `0.60 (0.50–0.80)`.

        >>> Spread(0.6, 0.5, 0.8).shown(2), Spread(3, 3, 3).shown(0)
        ('0.60 (0.50–0.80)', '3')
        """
        middle, least, most = (f"{value:,.{digits}f}" for value in (self.median, self.least, self.most))
        return middle if least == most else f"{middle} ({least}–{most})"


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most of at least one value."""
    return Spread(median(values), min(values), max(values))


def ratio(own: Sequence[float], peers: Sequence[float]) -> Spread:
    """Own over peer's, round by round: the nth of each belongs to round n.

    >>> ratio([50, 120, 80], [100, 200, 100]).median
    0.6
    """
    return spread([mine / theirs for mine, theirs in zip(own, peers, strict=True)])


def difference(own: Sequence[float], peers: Sequence[float]) -> Spread:
    """Own less peer's, round by round."""
    return spread([mine - theirs for mine, theirs in zip(own, peers, strict=True)])
