"""Geometry of the dashboard's charts: lines over time, two distributions over each other, a plane of two scores.

Keeps: across in percent of the width, so that a chart fits any screen while its texts keep their size; down in units of
the height. Axes begin and end at round numbers and say their unit. Pure; the template draws and escapes.
Called by `dashboard`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sidecar.admin import figures
from sidecar.admin.tracks import Point

HEIGHT = 150.0


class Tick(NamedTuple):
    """A label at `place`: percent of the width, or units of the height. `anchor` is SVG's."""

    place: float
    label: str
    anchor: str = "middle"


class LineChart(NamedTuple):
    """`path` lies in a box of 100 by HEIGHT; dots are (percent, units, title). `required`: a height."""

    path: str
    dots: tuple[tuple[float, float, str], ...]
    up: tuple[Tick, ...]
    across: tuple[Tick, ...]
    required: float | None
    marks: tuple[float, ...]
    says: str


class Outlines(NamedTuple):
    """Two distributions as paths in a box of 100 by HEIGHT; `marks` are (percent, label, which of the two)."""

    one: str
    two: str
    across: tuple[Tick, ...]
    marks: tuple[tuple[float, str, str], ...]
    says: str


class Square(NamedTuple):
    """A cell of a plane, in percent of either side; `weight` 1 (few) to 9 (many)."""

    x: float
    y: float
    width: float
    height: float
    weight: int
    title: str


class Plane(NamedTuple):
    """How often two scores fell together; the first version's runs to the right, the second's upwards."""

    squares: tuple[Square, ...]
    low: str
    high: str
    says: str


class Bar(NamedTuple):
    """A bar in percent across and units down."""

    x: float
    width: float
    y: float
    height: float
    title: str
    label: str


def over_time(
    points: Sequence[Point],
    *,
    share: bool,
    required: float | None = None,
    marks: Sequence[float] = (),
    most_dots: int = 60,
) -> LineChart | None:
    """A line over time; None below two points. `share`: values are shares, shown in percent; `marks` are moments."""
    if len(points) < 2 or points[0].at >= points[-1].at:
        return None
    start, end = points[0].at, points[-1].at
    values = [point.value for point in points] + ([] if required is None else [required])
    if share:
        low = max(0.0, math.floor((min(values) - 0.02) * 20) / 20)
        high = min(1.0, math.ceil((max(values) + 0.02) * 20) / 20)
        step = (high - low) / 2
        up = [low, low + step, high]
        labels = [f"{value:.1%}".replace(".0%", "%") for value in up]
    else:
        low, high = 0.0, nice(max(*values, 0.05))
        up = [low, high / 2, high]
        labels = [figures.number(value) for value in up]

    def x(at: float) -> float:
        return round(100.0 * (at - start) / (end - start), 3)

    def y(value: float) -> float:
        return round(HEIGHT - (HEIGHT - 14) * (min(max(value, low), high) - low) / (high - low), 2)

    path = "M" + "L".join(f"{x(point.at):.3f} {y(point.value):.2f}" for point in points)
    every = math.ceil(len(points) / most_dots)
    shown = [figures.percent(point.value) if share else figures.number(point.value) for point in points]
    dots = tuple(
        (x(point.at), y(point.value), f"{figures.moment(point.at)}: {text}{f' of {point.n:,} rows' if point.n else ''}")
        for index, (point, text) in enumerate(zip(points, shown, strict=True))
        if index % every == 0 or index == len(points) - 1
    )
    lowest = shown[min(range(len(points)), key=lambda index: points[index].value)]
    return LineChart(
        path,
        dots,
        tuple(Tick(y(value), label) for value, label in zip(up, labels, strict=True)),
        times(start, end),
        None if required is None else y(required),
        tuple(x(mark) for mark in marks if start <= mark <= end),
        f"From {figures.moment(start)} to {figures.moment(end)}: now {shown[-1]}, lowest {lowest}",
    )


def outlines(
    one: Sequence[tuple[float, float, int]],
    two: Sequence[tuple[float, float, int]],
    marks: Sequence[tuple[float | None, str, str]],
    says: str,
) -> Outlines | None:
    """Two histograms of (from, to, count) over positive numbers on one logarithmic axis; None without counts."""
    found = [cell for cell in (*one, *two) if cell[2] > 0 and cell[1] > 0]
    if not found:
        return None
    low = math.log10(max(min(cell[0] for cell in found if cell[1] > 0), 1e-3))
    high = math.log10(max(cell[1] for cell in found))
    if high - low < 0.3:
        low, high = low - 0.15, high + 0.15
    bins = 48
    densities = [_binned(cells, low, high, bins) for cells in (one, two)]
    top = max(max(density) for density in densities) or 1.0

    def x(value: float) -> float:
        return round(100.0 * (math.log10(max(value, 1e-3)) - low) / (high - low), 3)

    def path(density: Sequence[float]) -> str:
        if not any(density):
            return ""
        parts = [f"M0 {HEIGHT:.0f}"]
        for index, share in enumerate(density):
            parts.append(f"V{HEIGHT - share / top * (HEIGHT - 36):.2f}H{100.0 * (index + 1) / bins:.3f}")
        return "".join(parts) + f"V{HEIGHT:.0f}"

    return Outlines(
        path(densities[0]),
        path(densities[1]),
        _decades(low, high),
        tuple((x(value), label, which) for value, label, which in marks if value is not None),
        says,
    )


def plane(cells: Sequence[tuple[float, float, float, float, int]], sides: int = 32) -> Plane | None:
    """Cells of (first from, to, second from, to, rows), the narrow ones joined; shades tell rows per area."""
    rows = [cell for cell in cells if cell[4] > 0 and all(map(math.isfinite, cell[:4]))]
    if not rows:
        return None
    low, high = min(min(cell[0], cell[2]) for cell in rows), max(max(cell[1], cell[3]) for cell in rows)
    starts = [start for cell in rows for start in (cell[0], cell[2])]
    low, high = (0.0, 1.0) if low >= 0.0 and max(starts) <= 1.0 else (low, high)  # the last cell reaches beyond 1
    if high <= low:
        return None
    edges = [low]
    for edge in sorted({edge for cell in rows for edge in (cell[0], cell[2])}):
        if edge - edges[-1] >= (high - low) / sides and high - edge >= (high - low) / sides:
            edges.append(edge)
    edges.append(high)
    counts: dict[tuple[int, int], int] = {}
    for first_from, first_to, second_from, second_to, count in rows:
        place = _place(edges, (first_from + first_to) / 2), _place(edges, (second_from + second_to) / 2)
        counts[place] = counts.get(place, 0) + count
    ends = [100.0 * (edge - low) / (high - low) for edge in edges]
    thick = {
        (one, two): count / ((ends[one + 1] - ends[one]) * (ends[two + 1] - ends[two]))
        for (one, two), count in counts.items()
    }
    least, most, total = min(thick.values()), max(thick.values()), sum(counts.values())
    reach = math.log(most / least) or 1.0
    squares = tuple(
        Square(
            round(ends[one], 3),
            round(100.0 - ends[two + 1], 3),
            round(ends[one + 1] - ends[one], 3),
            round(ends[two + 1] - ends[two], 3),
            1 + round(8 * math.log(thick[one, two] / least) / reach),
            f"champion {figures.number(edges[one])} to {figures.number(edges[one + 1])}, challenger"
            f" {figures.number(edges[two])} to {figures.number(edges[two + 1])}: {count:,} rows",
        )
        for (one, two), count in sorted(counts.items())
    )
    near = sum(count for (one, two), count in counts.items() if abs(one - two) <= 1)
    return Plane(
        squares,
        figures.number(low),
        figures.number(high),
        f"Scores of {total:,} rows: {figures.percent(near / total)} lie on or beside the diagonal",
    )


def differences(cells: Sequence[tuple[float, float, int]], bins: int = 41) -> tuple[Bar, ...]:
    """Rows by challenger's less champion's score, on bars of one width around zero; empty without rows."""
    total = sum(count for _, _, count in cells)
    reach = max((abs((low + high) / 2) for low, high, _ in cells), default=0.0)
    if not total or not reach:
        return ()
    reach = nice(reach)
    counts = [0] * bins
    for low, high, count in cells:
        counts[min(bins - 1, max(0, int(((low + high) / 2 + reach) / (2 * reach) * bins)))] += count
    top, width = max(counts), 100.0 / bins

    def edge(index: int) -> str:
        return figures.number(reach * (2 * index / bins - 1))

    return tuple(
        Bar(
            round(index * width + width * 0.06, 3),
            round(width * 0.88, 3),
            round(HEIGHT - (HEIGHT - 8) * count / top, 2),
            round((HEIGHT - 8) * count / top, 2),
            f"{edge(index)} to {edge(index + 1)}: {figures.percent(count / total)} of {total:,} rows",
            figures.number(reach),
        )
        for index, count in enumerate(counts)
    )


def times(start: float, end: float, wanted: int = 5) -> tuple[Tick, ...]:
    """Round moments between two, in UTC; at least the two ends."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)
    span = end - start
    step = next((step for step in steps if span / step <= wanted), 86_400 * math.ceil(span / 86_400 / wanted))
    first = math.ceil(start / step) * step
    found = []
    for index in range(wanted + 1):
        at = first + index * step
        place = 100.0 * (at - start) / span if span > 0 else 0.0
        if not 4.0 <= place <= 94.0:
            continue
        moment = datetime.fromtimestamp(at, UTC)
        if step >= 86_400 or (moment.hour, moment.minute, moment.second) == (0, 0, 0):
            label = f"{moment.day} {moment:%b}"
        else:
            label = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
        found.append(Tick(round(place, 3), label))
    return tuple(found)


def nice(value: float) -> float:
    """The next number above that begins with 1, 2 or 5."""
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1.0, 2.0, 5.0, 10.0) if step * size >= value * (1 - 1e-9))


def _place(edges: Sequence[float], value: float) -> int:
    return min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)


def _binned(cells: Sequence[tuple[float, float, int]], low: float, high: float, bins: int) -> list[float]:
    """Shares by bin; a cell that reaches over several bins is spread over them."""
    density = [0.0] * bins
    total = sum(count for _, _, count in cells)
    for start, end, count in cells:
        if end <= 0:
            continue
        left, right = ((math.log10(max(bound, 1e-3)) - low) / (high - low) * bins for bound in (start, end))
        first, last = (min(bins - 1, max(0, int(place))) for place in (left, right))
        width = max(right - left, 1e-9)
        for index in range(first, last + 1):
            overlap = min(right, index + 1) - max(left, index) if last > first else width
            density[index] += count / total * max(0.0, overlap) / width
    return density


def _decades(low: float, high: float) -> tuple[Tick, ...]:
    found = []
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**exponent
            place = 100.0 * (math.log10(value) - low) / (high - low)
            if 3.0 <= place <= 95.0:
                found.append(Tick(round(place, 3), f"{figures.number(value)} ms"))
    return tuple(found if len(found) <= 7 else found[:: math.ceil(len(found) / 7)])
