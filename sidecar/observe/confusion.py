"""Two versions' labels on the same rows: how often each pair of labels came, and what that says.

Invariant: counts add, memory is bounded whatever labels come, texts are cut. Once there were too many pairs to name,
the rest stands under "other", and what needs every pair is no longer told. Does not judge.
Used by the agreement. Source: Cohen 1960 (agreement beyond chance).
"""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"
TEXT_LENGTH = 40
_MOST_KEPT = 400
_MOST_SHOWN = 20
_MOST_CELLS_SHOWN = 100
_UNNAMED = (OTHER, f"not {OTHER}")


class Confusion:
    """Counts by (champion's label, challenger's label).

    >>> labels = Confusion()
    >>> for pair in (("1", "1"), ("1", "0"), ("0", "0"), ("0", "0")):
    ...     labels.add(*pair)
    >>> labels.flips(), labels.kappa()
    ({'1→0': 1}, 0.5)
    """

    __slots__ = ("_cells",)

    def __init__(self, cells: Iterable[tuple[str, str, int]] = ()) -> None:
        self._cells: dict[tuple[str, str], int] = {}
        for one, two, count in cells:
            self.add(one, two, count)

    def add(self, champion: str, challenger: str, count: int = 1) -> None:
        """Rows with these labels; what is no longer named keeps whether the two were the same."""
        cell = cut(champion), cut(challenger)
        if cell not in self._cells and len(self._cells) >= _MOST_KEPT:
            cell = (OTHER, OTHER) if champion == challenger else _UNNAMED
            self._cells.setdefault(_UNNAMED, 0)
        self._cells[cell] = self._cells.get(cell, 0) + count

    def merge(self, other: Confusion) -> None:
        """Adds another one, which stays as it is."""
        for (one, two), count in list(other._cells.items()):
            self.add(one, two, count)

    def cells(self) -> list[tuple[str, str, int]]:
        """All of them, for the snapshot."""
        return [(one, two, count) for (one, two), count in self._cells.items()]

    def most(self) -> tuple[tuple[str, str, int], ...]:
        """The most frequent pairs first, at most 100."""
        ranked = sorted(self.cells(), key=lambda cell: (-cell[2], cell[0], cell[1]))
        return tuple(ranked[:_MOST_CELLS_SHOWN])

    def flips(self) -> dict[str, int]:
        """The most frequent pairs of different labels first; what does not fit stands under "other"."""
        rest = self._cells.get(_UNNAMED, 0)
        named = {
            f"{one}→{two}": count for (one, two), count in self._cells.items() if one != two and (one, two) != _UNNAMED
        }
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        if rest or len(ranked) > _MOST_SHOWN:
            rest += sum(count for _, count in ranked[_MOST_SHOWN - 1 :])
            return {**dict(ranked[: _MOST_SHOWN - 1]), OTHER: rest}
        return dict(ranked)

    def kappa(self) -> float | None:
        """Agreement beyond chance; None without rows, with one label only, or with pairs that are not named."""
        total = sum(self._cells.values())
        if not total or _UNNAMED in self._cells:
            return None
        champion: dict[str, int] = {}
        challenger: dict[str, int] = {}
        for (one, two), count in self._cells.items():
            champion[one] = champion.get(one, 0) + count
            challenger[two] = challenger.get(two, 0) + count
        by_chance = sum(count * challenger.get(label, 0) for label, count in champion.items()) / total**2
        if by_chance >= 1.0:
            return None
        same = sum(count for (one, two), count in self._cells.items() if one == two) / total
        return (same - by_chance) / (1.0 - by_chance)


def cut(text: str) -> str:
    """At most 40 characters."""
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"
