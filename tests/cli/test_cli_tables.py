"""Cells and sparklines."""

from __future__ import annotations

import pytest

from sidecar.cli.failure import printable
from sidecar.cli.tables import share, sparkline, text


@pytest.mark.parametrize(
    ("counts", "shape"),
    [
        ([], ""),
        ([0, 0], "  "),
        ([1, 1], "██"),
        ([0, 1, 1000], " ▁█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([7], "█"),
    ],
)
def test_a_sparkline_shows_each_cell_beside_the_largest(counts: list[int], shape: str) -> None:
    assert sparkline(counts) == shape


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "1e-09"),
        (5000, "5000"),
        ("pass", "✓ pass"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("a\nb", "a b"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ],
)
def test_a_cell_is_short_and_harmless(value: object, shown: str) -> None:
    assert text(value).plain == shown


def test_shares_are_percentages() -> None:
    assert share(0.12345).plain == "12.35%"
    assert share(None).plain == "–"


def test_letters_of_all_scripts_stay_as_they_are() -> None:
    assert printable("größe × 審査\n") == "größe × 審査\n"
