"""The soak's judgement: flat is flat, growth is growth, one odd sample is neither."""

from __future__ import annotations

import doctest

import pytest

from bench import trend as module
from bench.trend import MIB, Sample, slope, trend


def series(sizes: list[float], files: list[int] | None = None) -> list[Sample]:
    counts = files or [30] * len(sizes)
    return [Sample(10.0 * n, int(size * MIB), counts[n]) for n, size in enumerate(sizes)]


def test_threads_are_flat_or_grow() -> None:
    counts = {"flat": [3] * 8 + [5] * 4, "grows": list(range(3, 15))}
    seen = {name: trend([Sample(float(n), MIB, 30, count) for n, count in enumerate(c)]) for name, c in counts.items()}

    assert (seen["flat"].threads_flat, seen["flat"].flat) == (True, True)
    assert (seen["grows"].threads_flat, seen["grows"].flat) == (False, False)


def test_the_docstrings_example_holds() -> None:
    assert doctest.testmod(module).failed == 0


def test_a_slope_needs_two_points() -> None:
    assert slope([]) == 0.0
    assert slope([(1.0, 5.0)]) == 0.0
    assert slope([(1.0, 5.0), (1.0, 9.0)]) == 0.0


@pytest.mark.parametrize(
    ("sizes", "flat"),
    [
        ([50.0] * 30, True),
        ([20.0, 30.0, 40.0, 45.0, 48.0, 49.0, 50.0, *[50.0] * 20], True),  # what fills up first is left out
        ([50.0 + 0.5 * n for n in range(30)], False),
        ([*[50.0] * 20, 90.0, *[50.0] * 9], True),  # one peak
        ([90.0 - n for n in range(30)], True),  # less is no growth
        ([50.0], True),
    ],
)
def test_memory_is_flat_or_grows(sizes: list[float], *, flat: bool) -> None:
    assert trend(series(sizes)).memory_flat is flat


def test_the_slope_is_told_by_the_minute() -> None:
    assert trend(series([50.0 + n for n in range(12)])).bytes_per_minute == pytest.approx(6 * MIB)


@pytest.mark.parametrize(
    ("files", "flat"),
    [([30] * 12, True), ([30, 31] * 6, True), ([30 + n for n in range(12)], False), ([60, *[30] * 11], True)],
)
def test_open_files_are_flat_or_grow(files: list[int], *, flat: bool) -> None:
    assert trend(series([50.0] * 12, files)).files_flat is flat
