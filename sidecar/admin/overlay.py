"""Pictures made of counts: a feature's baseline and live histograms over each other, and an interval on its axis.

Keeps: both histograms are shares on one scale, so areas compare; never seen, missing and wrong type stand apart on the
right, whatever the feature's kind. Pure geometry in SVG user units (y grows downwards); the template draws it and
escapes the labels. Called by `dashboard`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sidecar.reports import FeatureDrift, Interval

WIDTH, HEIGHT = 280.0, 96.0
_APART = ("never seen", "missing", "wrong type")  # registry_client.cells puts them last, under these labels
_GAP, _APART_WIDTH = 14.0, 16.0
_MOST_BARS = 44


class Bar(NamedTuple):
    """One cell: the baseline's bar, and a title with both shares. `apart`: never seen, missing or wrong type."""

    x: float
    y: float
    width: float
    height: float
    title: str
    apart: bool


class Overlay(NamedTuple):
    """All of one feature's picture. `live` is an SVG path of steps; `apart` the labels on the right, in order."""

    bars: tuple[Bar, ...]
    live: str
    first: str
    last: str
    apart: tuple[str, ...]


class IntervalPicture(NamedTuple):
    """Positions in 0..WIDTH of an interval between two round percentages."""

    left: float
    right: float
    value: float
    required: float | None
    axis_from: str
    axis_to: str


class _Cell(NamedTuple):
    label: str
    baseline: float
    live: float


def overlay(feature: FeatureDrift) -> Overlay | None:
    """The picture of a feature; None where there is nothing to draw."""
    baseline = _shares(feature.baseline_counts)
    live = _shares(feature.live_counts)
    if not feature.cells or len(baseline) != len(feature.cells) or len(live) != len(feature.cells):
        return None
    cells = [_Cell(*cell) for cell in zip(feature.cells, baseline, live, strict=True)]
    regular, apart = _split(cells)
    regular = _merged(regular)
    shown = [cell for cell in apart if cell.baseline > 0 or cell.live > 0]
    top = max((max(cell.baseline, cell.live) for cell in (*regular, *shown)), default=0.0)
    if top <= 0 or not regular:
        return None
    room = WIDTH - (_GAP + _APART_WIDTH * len(shown) if shown else 0.0)
    step = room / len(regular)
    places = [(index * step, step, cell, False) for index, cell in enumerate(regular)]
    places += [(room + _GAP + index * _APART_WIDTH, _APART_WIDTH - 3, cell, True) for index, cell in enumerate(shown)]
    bars = tuple(
        Bar(
            round(x + 0.5, 2),
            round(_y(cell.baseline, top), 2),
            round(max(width - 1, 0.5), 2),
            round(HEIGHT - _y(cell.baseline, top), 2),
            f"{cell.label}: trained {cell.baseline:.1%}, live {cell.live:.1%}",
            is_apart,
        )
        for x, width, cell, is_apart in places
    )
    return Overlay(
        bars,
        _steps(places, top) if any(live) else "",
        regular[0].label,
        regular[-1].label if len(regular) > 1 else "",
        tuple(cell.label for cell in shown),
    )


def interval(seen: Interval, required: float | None) -> IntervalPicture:
    """An interval of a share on an axis that begins at a round percentage below it and ends at 100 %."""
    lowest = min(seen.lower, required if required is not None else 1.0)
    start = max(0.0, math.floor(lowest * 10 - 0.5) / 10)

    def place(share: float) -> float:
        return round(min(max((share - start) / (1 - start), 0.0), 1.0) * WIDTH, 2)

    return IntervalPicture(
        place(seen.lower),
        place(seen.upper),
        place(seen.value),
        None if required is None else place(required),
        f"{start:.0%}",
        "100%",
    )


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _split(cells: list[_Cell]) -> tuple[list[_Cell], list[_Cell]]:
    end = len(cells)
    while end and cells[end - 1].label in _APART:
        end -= 1
    return cells[:end], cells[end:]


def _merged(cells: list[_Cell]) -> list[_Cell]:
    """Neighbours joined until a picture of this width can show them."""
    size = math.ceil(len(cells) / _MOST_BARS)
    if size <= 1:
        return cells
    groups = [cells[start : start + size] for start in range(0, len(cells), size)]
    return [
        _Cell(
            group[0].label if len(group) == 1 else f"{group[0].label} … {group[-1].label}",
            sum(cell.baseline for cell in group),
            sum(cell.live for cell in group),
        )
        for group in groups
    ]


def _y(share: float, top: float) -> float:
    return HEIGHT - share / top * (HEIGHT - 4)


def _steps(places: list[tuple[float, float, _Cell, bool]], top: float) -> str:
    """The live outline: one run of steps over the regular cells, a dash over each cell that stands apart."""
    parts: list[str] = []
    for index, (x, width, cell, apart) in enumerate(places):
        y = _y(cell.live, top)
        parts.append(f"M{x:.2f} {y:.2f}" if apart or index == 0 else f"V{y:.2f}")
        parts.append(f"H{x + width:.2f}")
    return "".join(parts)
