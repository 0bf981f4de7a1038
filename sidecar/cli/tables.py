"""Tables and texts for a terminal, and the same without colour or cut lines for a pipe.

Keeps: text from elsewhere is shown, never obeyed: neither rich's markup nor a terminal's escapes in it work.
Called by every command that shows more than a sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar.cli.failure import printable

_PIPE_WIDTH = 4_000
_STYLES = {
    "pass": "green",
    "fail": "bold red",
    "insufficient": "yellow",
    "off": "dim",
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "healthy": "green",
    "failing": "bold red",
    "unreachable": "bold red",
    "paused": "bold red",
    "alarm": "bold red",
}
_SPARKS = "▁▂▃▄▅▆▇█"
_SIGNS = {"pass": "✓ pass", "fail": "✗ fail", "insufficient": "… insufficient", "off": "– off"}


def console(*, err: bool = False) -> Console:
    """A terminal as wide as it is; a pipe so wide that nothing is cut or folded."""
    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False)


def text(value: object, style: str = "") -> Text:
    """One cell. Numbers are short, None is a dash, and known words have their colour."""
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.6g}", style=style)
    shown = printable(str(value)).replace("\n", " ")
    return Text(_SIGNS.get(shown, shown), style=style or _STYLES.get(shown, ""))


def share(value: float | None) -> Text:
    """A share as a percentage."""
    return text(None) if value is None else Text(f"{value:.2%}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table without lines but one under its head; the columns in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else text(cell) for cell in row))
    return made


def sparkline(counts: Sequence[int]) -> str:
    """Counts as a row of bars; an empty cell is a space, a cell with anything in it has at least the lowest bar.

    >>> sparkline([0, 1, 4, 8])
    ' ▁▄█'
    """
    most = max(counts, default=0)
    if most <= 0:
        return " " * len(counts)
    return "".join(" " if n <= 0 else _SPARKS[max(0, -(-n * len(_SPARKS) // most) - 1)] for n in counts)
