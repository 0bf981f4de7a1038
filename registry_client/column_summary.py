"""One column summed up: numbers, texts, missing values; whether it is numeric is decided when it is read.

Invariant: the content is a function of the multiset of values only, and `feature` is a function of the content. A
column is numeric where every known value is a number and there are floats or three different integers; a flag kept
as 0 and 1 is a category. Numbers are kept as float64; as texts (of flags, and beside texts) only where these are
exact, otherwise the column is refused. Values are read by the rules of `column`, as live traffic is.
Made by `column_values` and `arrow_values`; used by summaries of tables.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from registry_client.baseline import QUANTILES, FeatureBaseline
from registry_client.cells import CategoricalCells, categorical_cells
from registry_client.column import CategoryTally, category_text
from registry_client.fine_cells import FineCells, Floats, Integers
from registry_client.natural_variation import Variation, column_variation
from registry_client.text_counts import TextCounts

# A third different integer makes a column of integers a quantity.
FEW_INTEGERS = 2
_EXACT_INTEGER = 2.0**53


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSummary:
    """What the values of one column were.

    `infinities[0]` counts negative ones by block, `infinities[1]` positive ones. `whole_texts` are the integers of
    columns that hold one or two different ones; None where there are more. `whole_numbers` counts finite numbers
    without a fraction.
    """

    numbers: FineCells
    infinities: Integers
    missing: Integers
    texts: TextCounts
    whole_texts: TextCounts | None
    whole_numbers: int
    has_floats: bool

    @classmethod
    def of_numbers(
        cls,
        numbers: Floats,
        *,
        missing: int,
        are_floats: bool,
        whole_texts: TextCounts | None,
        seen: ColumnSummary | None = None,
    ) -> ColumnSummary:
        """Numbers of one block; NaN among them is missing, too. `seen` says what they will be added to."""
        if are_floats and np.isnan(numbers).any():
            known = numbers[~np.isnan(numbers)]
            missing += numbers.size - known.size
            numbers = known
        finite = np.isfinite(numbers)
        infinities = np.zeros((2, 1), np.int64)
        if not finite.all():
            infinities[1] = np.count_nonzero(numbers == np.inf)
            infinities[0] = numbers.size - np.count_nonzero(finite) - infinities[1]
            numbers = numbers[finite]
        return cls(
            numbers=FineCells.of(numbers, shift=seen.numbers.shift if seen is not None else 0),
            infinities=infinities,
            missing=np.array([missing], np.int64),
            texts=TextCounts.empty(),
            whole_texts=whole_texts,
            whole_numbers=int(np.count_nonzero(numbers == np.trunc(numbers))) if are_floats else int(numbers.size),
            has_floats=are_floats,
        )

    @classmethod
    def of_texts(cls, texts: TextCounts, *, missing: int) -> ColumnSummary:
        """Texts of one block."""
        none = np.zeros((2, 1), np.int64)
        return cls(FineCells.empty(), none, np.array([missing], np.int64), texts, TextCounts.empty(), 0, False)

    @classmethod
    def combined(cls, pieces: Sequence[tuple[ColumnSummary, Sequence[int]]], blocks: int) -> ColumnSummary:
        """Add pieces up; each says into which of the `blocks` its own blocks go."""
        infinities, missing = np.zeros((2, blocks), np.int64), np.zeros(blocks, np.int64)
        for column, targets in pieces:
            for block, target in enumerate(targets):
                infinities[:, target] += column.infinities[:, block]
                missing[target] += column.missing[block]
        return cls(
            numbers=FineCells.combined([(column.numbers, targets) for column, targets in pieces], blocks),
            infinities=infinities,
            missing=missing,
            texts=TextCounts.combined([(column.texts, targets) for column, targets in pieces], blocks),
            whole_texts=_few(
                [(column.whole_texts, targets) for column, targets in pieces if column.whole_texts is not None],
                blocks,
            )
            if all(column.whole_texts is not None for column, _ in pieces)
            else None,
            whole_numbers=sum(column.whole_numbers for column, _ in pieces),
            has_floats=any(column.has_floats for column, _ in pieces),
        )

    @property
    def rows(self) -> int:
        """Values in all, missing ones included."""
        return self.numbers.total + int(self.infinities.sum() + self.missing.sum()) + self.texts.total

    @property
    def is_numeric(self) -> bool:
        """Whether the column is a quantity."""
        return not self.texts.total and bool(self.numbers.total) and (self.has_floats or self.whole_texts is None)

    def as_texts(self) -> TextCounts | None:
        """The known values as category texts; None where there are too many different numbers to name them."""
        blocks = len(self.missing)
        every = range(blocks)
        known = self.numbers.total + int(self.infinities.sum())
        if not known:
            return self.texts
        if self.whole_texts is not None and self.whole_texts.total == known:
            return TextCounts.combined([(self.texts, every), (self.whole_texts, every)], blocks)
        distinct = self.numbers.distinct()
        if distinct is None:
            return None
        values, counts = distinct
        if np.abs(values).max(initial=0.0) > _EXACT_INTEGER or (not self.has_floats and self.infinities.any()):
            return None  # different integers may have become one float64, or an infinity
        names = [str(category_text(value)) for value in (*values.tolist(), -math.inf, math.inf)]
        numbers = TextCounts.of(dict.fromkeys(names, 0)).with_counts(
            np.vstack((counts, self.infinities)), np.zeros(blocks, np.int64)
        )
        return TextCounts.combined([(self.texts, every), (numbers, every)], blocks)

    def feature(self, name: str, blocks: Sequence[int] = (), importance: float | None = None) -> FeatureBaseline:
        """The column as a baseline has it; ValueError where it has no distribution to keep.

        `blocks` are those that are blocks of time, which may be compared with each other.
        """
        if self.is_numeric:
            return self._numeric_feature(name, blocks, importance)
        texts = self.as_texts()
        if texts is None:
            raise ValueError(
                f"column {name!r} holds texts, and numbers of which more than can be told apart; "
                "write all as numbers (missing ones as null) or all as texts"
            )
        return _categorical_feature(name, texts, self.missing, blocks, importance)

    def tally(self) -> CategoryTally | None:
        """The known values counted by text; None where they cannot be named."""
        texts = self.as_texts()
        return None if texts is None else _tally(texts, self.missing)

    def _numeric_feature(self, name: str, blocks: Sequence[int], importance: float | None) -> FeatureBaseline:
        cells = self.numbers.frozen()
        counts = np.zeros((cells.size, len(self.missing)), np.int64)
        counts[: cells.missing_index] = self.numbers.counted(cells.edges)
        counts[0] += self.infinities[0]
        counts[cells.missing_index - 1] += self.infinities[1]
        counts[cells.missing_index] = self.missing
        missing = int(self.missing.sum())
        histogram = self.numbers.log_histogram(
            negative_infinities=int(self.infinities[0].sum()),
            positive_infinities=int(self.infinities[1].sum()),
            nan=missing,
        )
        mean, sd = self.numbers.mean_and_sd()
        variation = column_variation(counts[:, list(blocks)]) if blocks else Variation()
        return FeatureBaseline(
            name=name,
            kind="numeric",
            counts=tuple(counts.sum(axis=1).tolist()),
            n=int(counts.sum()),
            missing=missing,
            wrong_type=0,
            edges=cells.edges,
            # Values that occurred, so integers stay integers and atoms stay atoms.
            quantiles=self.numbers.quantiles(QUANTILES),
            log_histogram=histogram.to_document(),
            minimum=float(self.numbers.lows[0]),
            maximum=float(self.numbers.highs[-1]),
            mean=mean,
            sd=sd,
            integers_share=self.whole_numbers / self.numbers.total,
            importance=importance,
            natural_variation=variation.natural,
            overdispersion=variation.overdispersion,
            blocks=variation.blocks,
            gap_variation=variation.gaps,
        )


def _few(pieces: Sequence[tuple[TextCounts, Sequence[int]]], blocks: int) -> TextCounts | None:
    together = TextCounts.combined(pieces, blocks)
    return together if len(together.rows) <= FEW_INTEGERS else None


def _tally(texts: TextCounts, missing: Integers) -> CategoryTally:
    counts = dict(zip(texts.rows, texts.totals.tolist(), strict=True))
    return CategoryTally(Counter(counts), missing=int(missing.sum()), unlisted=int(texts.unlisted.sum()))


def _categorical_feature(
    name: str, texts: TextCounts, missing: Integers, blocks: Sequence[int], importance: float | None
) -> FeatureBaseline:
    tally = _tally(texts, missing)
    cells: CategoricalCells = categorical_cells(tally)
    counts = np.zeros((cells.size, len(missing)), np.int64)
    np.add.at(counts, [cells.cell_of(text) for text in texts.rows], texts.counts)
    counts[cells.unseen_index] += texts.unlisted
    counts[cells.missing_index] = missing
    variation = column_variation(counts[:, list(blocks)]) if blocks else Variation()
    return FeatureBaseline(
        name=name,
        kind="categorical",
        counts=tuple(counts.sum(axis=1).tolist()),
        n=int(counts.sum()),
        missing=int(missing.sum()),
        wrong_type=0,
        categories=cells.categories,
        tail=cells.tail,
        categories_sampled=texts.is_sampled,
        singletons=sum(tally.texts[text] == 1 for text in cells.tail),
        importance=importance,
        natural_variation=variation.natural,
        overdispersion=variation.overdispersion,
        blocks=variation.blocks,
        gap_variation=variation.gaps,
    )
