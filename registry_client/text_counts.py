"""Texts counted one by one, bounded: the mergeable summary of a column of categories.

Invariant: the content is a function of the multiset of texts only. Up to 131,072 different texts are counted exactly.
Of more, those with the smallest hash are kept, still with exact counts (a text that is kept in a union was kept in
every part), and `unlisted` counts the rest exactly: which texts are known then depends on their names and not on how
often they came, in which order, or in which part. Counts are in columns (blocks of time). No text is longer than
`column.category_text` makes it. Used by the summary of a column.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]

TEXT_COUNT_LIMIT = 131_072


@dataclass(frozen=True, slots=True, eq=False)
class TextCounts:
    """`rows` says where in `counts[row, block]` a text is counted, `hashes[row]` is its hash.

    >>> texts = TextCounts.of({"red": 2, "blue": 1})
    >>> texts.total, texts.counts[texts.rows["red"], 0]
    (3, np.int64(2))
    """

    rows: Mapping[str, int]
    counts: Integers
    hashes: Integers
    unlisted: Integers

    @classmethod
    def empty(cls, blocks: int = 1) -> TextCounts:
        """No texts yet."""
        return cls({}, np.empty((0, blocks), np.int64), np.empty(0, np.int64), np.zeros(blocks, np.int64))

    @classmethod
    def of(cls, texts: Mapping[str, int], *, unlisted: int = 0, largest_hash: int | None = None) -> TextCounts:
        """Texts of one block with their counts; those beyond `largest_hash` will not be kept anyway."""
        names, hashes = list(texts), _hashes(texts)
        counts = np.fromiter(texts.values(), np.int64, len(names))
        if largest_hash is not None:
            kept = hashes <= largest_hash
            unlisted += int(counts[~kept].sum())
            names, counts, hashes = [names[place] for place in np.flatnonzero(kept)], counts[kept], hashes[kept]
        rows = {text: row for row, text in enumerate(names)}
        return _within_limit(cls(rows, counts[:, None], hashes, np.array([unlisted], np.int64)))

    @classmethod
    def combined(cls, pieces: Sequence[tuple[TextCounts, Sequence[int]]], blocks: int) -> TextCounts:
        """Add pieces up; each says into which of the `blocks` its own blocks go."""
        # The largest piece first: its texts need no looking up.
        pieces = sorted(pieces, key=lambda piece: -len(piece[0].rows))
        rows: dict[str, int] = dict(pieces[0][0].rows) if pieces else {}
        places: list[Integers] = []
        hashes: list[Integers] = []
        for number, (texts, _) in enumerate(pieces):
            known = len(rows)
            if number == 0:
                found = np.fromiter(rows.values(), np.int64, known)
                hashes.append(texts.hashes)
            else:
                found = np.fromiter((rows.setdefault(text, len(rows)) for text in texts.rows), np.int64)
                hashes.append(texts.hashes[found >= known])
            places.append(found)
        counts = np.zeros((len(rows), blocks), np.int64)
        unlisted = np.zeros(blocks, np.int64)
        for (texts, targets), found in zip(pieces, places, strict=True):
            for block, target in enumerate(targets):
                # No text is twice in one piece, so plain indexing adds each.
                counts[found, target] += texts.counts[:, block]
                unlisted[target] += texts.unlisted[block]
        return _within_limit(cls(rows, counts, np.concatenate(hashes) if hashes else np.empty(0, np.int64), unlisted))

    @property
    def totals(self) -> Integers:
        """How often each text came, all blocks together."""
        totals: Integers = self.counts.sum(axis=1)
        return totals

    @property
    def total(self) -> int:
        """Texts in all, those not listed included."""
        return int(self.counts.sum() + self.unlisted.sum())

    @property
    def is_sampled(self) -> bool:
        """Whether there were more different texts than are kept."""
        return bool(self.unlisted.any())

    @property
    def largest_hash(self) -> int | None:
        """Where texts were left out: any with a larger hash than this would be left out, too."""
        return int(self.hashes.max()) if self.is_sampled else None

    def with_counts(self, counts: Integers, unlisted: Integers) -> TextCounts:
        """The same texts with other `counts[row, block]`; those never counted are left out."""
        kept = np.asarray(counts.any(axis=1))
        rows = {name: row for row, name in enumerate(name for name, row in self.rows.items() if kept[row])}
        return TextCounts(rows, counts[kept], self.hashes[kept], unlisted)

    def ordered(self) -> TextCounts:
        """The same with its texts in ascending order, so that equal content is equal memory."""
        texts = sorted(self.rows)
        order = np.fromiter((self.rows[text] for text in texts), np.int64, len(texts))
        rows = {text: row for row, text in enumerate(texts)}
        return TextCounts(rows, self.counts[order], self.hashes[order], self.unlisted)


def text_hash(text: str) -> int:
    """The same on every machine; crc32 is the fastest such that the standard library has."""
    return zlib.crc32(text.encode("utf-8", "replace"))


def _hashes(texts: Iterable[str]) -> Integers:
    return np.fromiter(map(text_hash, texts), np.int64)


def _within_limit(texts: TextCounts) -> TextCounts:
    """The texts of smallest hash (of equal hash, the smallest texts), the others counted as unlisted."""
    if len(texts.rows) <= TEXT_COUNT_LIMIT:
        return texts
    border = np.partition(texts.hashes, TEXT_COUNT_LIMIT - 1)[TEXT_COUNT_LIMIT - 1]
    kept = np.asarray(texts.hashes < border)
    names = list(texts.rows)
    at_border = sorted((names[row], row) for row in np.flatnonzero(texts.hashes == border).tolist())
    kept[[row for _, row in at_border[: TEXT_COUNT_LIMIT - int(kept.sum())]]] = True
    rows = {name: row for row, name in enumerate(names[place] for place in np.flatnonzero(kept).tolist())}
    unlisted = texts.unlisted + texts.counts[~kept].sum(axis=0)
    return TextCounts(rows, texts.counts[kept], texts.hashes[kept], unlisted)
