"""Frozen cells: the ruler with which both the baseline and live traffic are counted.

Invariant: the cells are fixed by training data and never move; each value of a column falls into exactly one, so
counts add across batches, processes and machines without loss. Behind the cells for values come (categorical) one
for values never seen, then missing, then wrong type. It tests nothing and keeps nothing. Made by the baseline
builder, used through a baseline by the drift watcher. See docs of the baseline format for the layout.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry_client.column import CategoryTally, Column, categories_in, numbers_in
from registry_client.single_precision import forgiving_borders

Counts: TypeAlias = NDArray[np.int64]

TARGET_CELLS = 16
CATEGORY_LIMIT = 30
CATEGORY_SHARE = 0.99
TAIL_CELLS = 8
TAIL_LIMIT = 10_000
_DASH = " \N{EN DASH} "
_UNSEEN_LABEL, _MISSING_LABEL, _WRONG_TYPE_LABEL = "never seen", "missing", "wrong type"
# One step short of the largest float, so that the edge above it is still a number.
_LARGEST = math.nextafter(float(np.finfo(np.float64).max), 0.0)


@dataclass(frozen=True, slots=True)
class NumericCells:
    """Cells between edges: cell i holds `edges[i-1] <= value < edges[i]`, 0 is under and `len(edges)` is over.

    Infinities are under or over, NaN and None missing, booleans and texts of a wrong type. A number that comes as the
    float32 nearest to it is counted where it would have been (see `single_precision`).

    >>> cells = NumericCells((0.0, 10.0, 20.0))
    >>> cells.count([-1, 3, 10.0, None, "5"]).tolist()
    [1, 1, 1, 0, 1, 1]
    >>> cells.labels[0], cells.labels[4], cells.labels[5]
    ('< 0', 'missing', 'wrong type')
    """

    edges: tuple[float, ...]
    kind: ClassVar[Literal["numeric"]] = "numeric"
    unseen_index: ClassVar[None] = None
    _array: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.edges:
            raise ValueError("numeric cells need at least one edge")
        if not all(math.isfinite(edge) for edge in self.edges):
            raise ValueError("the edges of numeric cells must be finite")
        if any(left >= right for left, right in pairwise(self.edges)):
            raise ValueError("the edges of numeric cells must ascend")
        object.__setattr__(self, "_array", np.array(forgiving_borders(self.edges), dtype=np.float64))

    @property
    def size(self) -> int:
        """How many cells there are: under, between the edges, over, missing, wrong type."""
        return len(self.edges) + 3

    @property
    def missing_index(self) -> int:
        """Where missing values are counted."""
        return len(self.edges) + 1

    @property
    def wrong_type_index(self) -> int:
        """Where values that are no numbers are counted."""
        return len(self.edges) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """A different short text for each cell, for people."""
        for digits in (6, 9, 12, 17):
            labels = (*self._range_labels(digits), _MISSING_LABEL, _WRONG_TYPE_LABEL)
            if len(set(labels)) == len(labels):
                break
        return labels

    @property
    def atom_cells(self) -> tuple[tuple[int, float], ...]:
        """Cells that one number has to itself, with the number."""
        pairs = enumerate(pairwise(self.edges), start=1)
        return tuple((cell, left) for cell, (left, right) in pairs if right == math.nextafter(left, math.inf))

    def _range_labels(self, digits: int) -> list[str]:
        edges = self.edges
        is_atom = [right == math.nextafter(left, math.inf) for left, right in pairwise(edges)]
        # The edge just above an atom, and the one above the maximum, are read as the number below them.
        shown = [
            math.nextafter(edge, -math.inf) if index == len(edges) - 1 or (index and is_atom[index - 1]) else edge
            for index, edge in enumerate(edges)
        ]
        texts = [f"{value:.{digits}g}" for value in shown]
        between = [
            f"= {texts[index]}" if atom else f"{texts[index]}{_DASH}{texts[index + 1]}"
            for index, atom in enumerate(is_atom)
        ]
        return [f"< {texts[0]}", *between, f"> {texts[-1]}"]

    def count(self, column: Column) -> Counts:
        """Count a column: int64 of shape (size,), summing to the length of the column."""
        values, wrong_type = numbers_in(column)
        counts = np.zeros(self.size, dtype=np.int64)
        absent = np.isnan(values)
        if missing := int(np.count_nonzero(absent)):
            values = values[~absent]
        found = np.searchsorted(self._array, values, side="right")
        counts[: self.missing_index] = np.bincount(found, minlength=self.missing_index)
        counts[self.missing_index] = missing
        counts[self.wrong_type_index] = wrong_type
        return counts

    @property
    def borders(self) -> NDArray[np.float64]:
        """Where the cells end, to be read only: a number lies above as many as are at or below it."""
        return self._array


@dataclass(frozen=True, slots=True)
class CategoricalCells:
    """A cell for each frequent category, up to 8 for the known rare ones (hashed), one for those never seen.

    >>> cells = CategoricalCells(("red", "blue"), ("teal",))
    >>> cells.count(["red", "teal", "pink", None, ["x"]]).tolist()
    [1, 0, 1, 1, 1, 1]
    """

    categories: tuple[str, ...]
    tail: tuple[str, ...] = ()
    kind: ClassVar[Literal["categorical"]] = "categorical"
    _lookup: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lookup = {text: index for index, text in enumerate(self.categories)}
        # crc32, because hash() differs from one process to the next.
        for text in self.tail:
            lookup[text] = len(self.categories) + zlib.crc32(text.encode("utf-8", "replace")) % self._tail_cells
        if len(lookup) != len(self.categories) + len(self.tail):
            raise ValueError("a category is listed twice")
        object.__setattr__(self, "_lookup", lookup)

    @property
    def _tail_cells(self) -> int:
        return min(TAIL_CELLS, len(self.tail))

    @property
    def size(self) -> int:
        """How many cells there are: categories, rare ones, never seen, missing, wrong type."""
        return self.unseen_index + 3

    @property
    def unseen_index(self) -> int:
        """Where values are counted that training did not see."""
        return len(self.categories) + self._tail_cells

    @property
    def missing_index(self) -> int:
        """Where missing values are counted."""
        return self.unseen_index + 1

    @property
    def wrong_type_index(self) -> int:
        """Where lists and objects are counted."""
        return self.unseen_index + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """A different short text for each cell, for people; a category named like another cell is put in quotes."""
        rare = [f"rare {number}" for number in range(1, self._tail_cells + 1)]
        others = (*rare, _UNSEEN_LABEL, _MISSING_LABEL, _WRONG_TYPE_LABEL)
        taken = {*others, *self.categories}
        labels = []
        for category in self.categories:
            label = category
            while label in others or (label is not category and label in taken):
                label = f"'{label}'"
            taken.add(label)
            labels.append(label)
        return (*labels, *others)

    def cell_of(self, text: str) -> int:
        """Where one known or unknown text is counted."""
        return self._lookup.get(text, self.unseen_index)

    def count(self, column: Column) -> Counts:
        """Count a column: int64 of shape (size,), summing to the length of the column."""
        return self.count_tally(categories_in(column))

    def count_tally(self, tally: CategoryTally) -> Counts:
        """Count a column that is a tally already."""
        counts = np.zeros(self.size, dtype=np.int64)
        for text, count in tally.texts.items():
            counts[self.cell_of(text)] += count
        counts[self.unseen_index] += tally.unlisted
        counts[self.missing_index] += tally.missing
        counts[self.wrong_type_index] += tally.wrong_type
        return counts

    def count_with_unseen(self, column: Column) -> tuple[Counts, Counter[str]]:
        """Count a column, and tell the texts that training did not see: both at the price of the first."""
        listed = column.ravel().tolist() if isinstance(column, np.ndarray) else column
        if set(map(type, listed)) <= {str}:
            known = Counter(listed)
            if known.keys() <= self._lookup.keys():
                counts = np.zeros(self.size, dtype=np.int64)
                for text, n in known.items():
                    counts[self._lookup[text]] += n
                return counts, Counter()
        tally = categories_in(listed)
        counts = self.count_tally(tally)
        if not counts[self.unseen_index]:
            return counts, Counter()
        return counts, Counter({text: n for text, n in tally.texts.items() if text not in self._lookup})

    def unseen(self, column: Column) -> Counter[str]:
        """The texts in a column that training did not see, with their counts."""
        texts = categories_in(column).texts
        return Counter({text: count for text, count in texts.items() if text not in self._lookup})


Cells: TypeAlias = NumericCells | CategoricalCells


def numeric_cells(values: NDArray[np.float64], target: int = TARGET_CELLS) -> NumericCells:
    """Quantile cells of training values; a value that makes up 1/(2 target) or more gets a cell to itself.

    The first edge is the minimum and the last lies just above the maximum, so under and over are empty in training.
    NaN and infinities are left out; ValueError where nothing is left. (The largest finite float alone counts as over.)

    >>> numeric_cells(np.arange(1000.0), target=4).edges
    (0.0, 250.0, 500.0, 750.0, 999.0000000000001)
    """
    finite = values[np.isfinite(values)] + 0.0  # -0.0 is the same number as 0.0 and prints worse
    distinct, repeats = np.unique(finite, return_counts=True)
    return cells_between(distinct, distinct, repeats, target)


def cells_between(
    lows: NDArray[np.float64], highs: NDArray[np.float64], counts: Counts, target: int | None = None
) -> NumericCells:
    """Quantile cells of values known by ascending ranges: `counts[i]` of them from `lows[i]` to `highs[i]`.

    As `numeric_cells`, with ranges for values: a range that holds 1/(2 target) of the mass gets a cell to itself, and
    no edge lies inside a range, so the ranges are counted exactly by these cells.
    """
    if not lows.size:
        raise ValueError("numeric cells need at least one finite number")
    target = target or TARGET_CELLS
    lows, highs = np.clip(lows, -_LARGEST, _LARGEST), np.clip(highs, -_LARGEST, _LARGEST)
    total = int(counts.sum())
    edges = {float(lows[0]), math.nextafter(float(highs[-1]), math.inf)}
    start = 0
    for heavy in np.flatnonzero(counts >= max(2.0, total / (2 * target))).tolist():
        edges |= {float(lows[heavy]), math.nextafter(float(highs[heavy]), math.inf)}
        edges |= _quantile_edges(lows[start:heavy], counts[start:heavy], total / target)
        start = heavy + 1
    edges |= _quantile_edges(lows[start:], counts[start:], total / target)
    return NumericCells(tuple(sorted(edges)))


def _quantile_edges(lows: NDArray[np.float64], counts: Counts, values_per_cell: float) -> set[float]:
    """Inner edges that cut the ranges between two heavy ones into pieces of about equal mass.

    Cutting between these, instead of everywhere and then adding them, leaves no slivers of a cell beside them.
    """
    reached = np.cumsum(counts)
    size = int(reached[-1]) if reached.size else 0
    pieces = round(size / values_per_cell)
    ranks = [size * piece // pieces for piece in range(1, pieces)]
    return set(lows[np.searchsorted(reached, ranks, side="right")].tolist()) if ranks else set()


def categorical_cells(tally: CategoryTally) -> CategoricalCells:
    """The most frequent categories down to 99 % of the mass, at most 30; at most 10,000 others are known as rare.

    Values beyond those count as never seen, in training too, so that their usual share is part of the baseline.
    """
    known = tally.texts.total() + tally.unlisted
    ranked = sorted(tally.texts.items(), key=lambda item: (-item[1], item[0]))
    categories: list[str] = []
    reached = 0
    for text, count in ranked[:CATEGORY_LIMIT]:
        if reached >= CATEGORY_SHARE * known:
            break
        categories.append(text)
        reached += count
    tail = [text for text, _ in ranked[len(categories) : len(categories) + TAIL_LIMIT]]
    return CategoricalCells(tuple(categories), tuple(sorted(tail)))
