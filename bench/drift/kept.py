"""Results kept from one run to the next, so that the page can be written although H wants the machine for itself.

Keeps: a result stays with the form that it was measured in and with when and how long; quick ones never pass for full
ones, nor do those of other code: the page says when each was measured.
Does not: measure. Called by the command.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.result import Result


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment's result. `measured_at` as a date with the minute, UTC; `minutes` it took."""

    letter: str
    quick: bool
    measured_at: str
    minutes: float
    result: Result

    @property
    def says(self) -> str:
        """When it was measured, for the page.

        >>> Kept(letter="E", quick=False, measured_at="2026-01-31 12:00", minutes=9.6, result=Result(title="", \
findings=[])).says
        'E 2026-01-31 12:00 (10 min)'
        """
        return f"{self.letter} {self.measured_at} ({self.minutes:.0f} min)"


def keep(folder: Path, kept: Kept) -> None:
    """Writes one; what the folder had of that letter and form is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    _path(folder, kept.letter, quick=kept.quick).write_bytes(msgspec.json.encode(kept))


def found(folder: Path, letter: str, *, quick: bool) -> Kept | None:
    """What was kept of a letter in this form; None where nothing was. ValueError where a file is damaged."""
    path = _path(folder, letter, quick=quick)
    return msgspec.json.decode(path.read_bytes(), type=Kept) if path.is_file() else None


def _path(folder: Path, letter: str, *, quick: bool) -> Path:
    return folder / f"{letter}-{'quick' if quick else 'full'}.json"
