"""Borders of cells that count a number alike whether it came in double or in single precision.

Many clients send 0.1 as the float32 nearest to it, which is 0.10000000149: beside the border 0.1, and outside the cell
that 0.1 has to itself. Invariant: a border moves by less than one step of float32, and only where it stands at a number
that somebody wrote (few digits, or a float32 itself), is far from its neighbours and is no integer; so a distribution
without such numbers is counted as before. Pure; used by the cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_FEW_DIGITS = 12
_LEAST, _MOST = 1.2e-38, 3.0e38
# Steps of float32 to the next border, so that a shift moves a hundredth of a cell at most.
_FEWEST_STEPS = 64


def forgiving_borders(edges: Sequence[float]) -> list[float]:
    """The edges, each moved to the middle between the float32 of its number and the next one away.

    An edge at a number moves down, one just above a number moves up: `lower <= value < upper` then holds for the
    number's float32 as well.

    >>> lower, upper = forgiving_borders([0.1, math.nextafter(0.1, 1.0)])
    >>> lower <= 0.1 < upper, lower <= float(np.float32(0.1)) < upper, upper - lower < 1e-8
    (True, True, True)
    >>> forgiving_borders([3.0, math.nextafter(3.0, 4.0)]) == [3.0, math.nextafter(3.0, 4.0)]
    True
    """
    return [_moved(edges, place) for place in range(len(edges))]


def _moved(edges: Sequence[float], place: int) -> float:
    edge = edges[place]
    below = math.nextafter(edge, -math.inf)
    if _is_written(edge) == _is_written(below):
        return edge  # a continuum, or nothing that tells which of the two was meant
    number, towards = (edge, -np.inf) if _is_written(edge) else (below, np.inf)
    if number.is_integer() or not _LEAST < abs(number) < _MOST:
        return edge
    single = np.float32(number)
    step = float(np.spacing(np.abs(single)))
    # The other edge of the number's own cell is no neighbour.
    others = [
        other for other in edges[max(0, place - 1) : place + 2] if abs(other - edge) > step / 1e6 and other != edge
    ]
    if any(abs(other - edge) < _FEWEST_STEPS * step for other in others):
        return edge
    return (float(single) + float(np.nextafter(single, np.float32(towards)))) / 2


def _is_written(number: float) -> bool:
    """Whether it has few digits, or is a float32 written out."""
    digits = f"{number:.17g}" if not _LEAST < abs(number) < _MOST else repr(number)
    if sum(character.isdigit() for character in digits.partition("e")[0]) <= _FEW_DIGITS:
        return True
    return _LEAST < abs(number) < _MOST and float(np.float32(number)) == number
