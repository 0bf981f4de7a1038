"""Healthy live traffic, frozen: what drift is measured against, by the same test as skew against training.

Keeps: once frozen its counts never move; its tolerance is that of as many rows as it has. A column without rows in it
is not judged. Does not decide when traffic is healthy (whoever freezes does).
Called by: the drift observer.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from sidecar.observe.column_document import ColumnDocument
from sidecar.observe.judging import Judging
from sidecar.observe.ruler import Ruler

Counts = NDArray[np.int64]


class ReferenceDocument(msgspec.Struct, frozen=True):
    """A reference as it is stored: counts of all columns as little-endian bytes, 8 each."""

    frozen_at: float
    counts: bytes
    columns: dict[int, ColumnDocument]


class Reference:
    """Counts by `ruler`, frozen at `frozen_at`, and everything since judged against them."""

    def __init__(self, ruler: Ruler, counts: Counts, *, frozen_at: float, tolerance: float, threshold: float) -> None:
        self.frozen_at = frozen_at
        self.counts = counts
        baselines = {
            number: as_baseline(column, ruler.of(counts, number))
            for number, column in enumerate(ruler.columns)
            if ruler.of(counts, number).any()
        }
        self.judging = Judging(ruler, baselines, tolerance=tolerance, threshold=threshold, now=frozen_at, explains={})
        self.rows = max((baseline.n for baseline in baselines.values()), default=0)

    def shift(self, seconds: float) -> None:
        """Dates everything so much later or earlier: the clock was set."""
        self.frozen_at += seconds
        self.judging.shift(seconds)

    def to_document(self) -> ReferenceDocument:
        """All of it, for the snapshot."""
        columns = self.judging.to_document(name_values=False)
        return ReferenceDocument(self.frozen_at, self.counts.astype("<i8").tobytes(), columns)

    @classmethod
    def from_document(
        cls, document: ReferenceDocument, ruler: Ruler, *, tolerance: float, threshold: float
    ) -> Reference:
        """Reads a document back; ValueError where it does not fit the ruler."""
        if len(document.counts) != 8 * ruler.size:
            raise ValueError(f"the reference was not counted in these {ruler.size} cells")
        counts = np.frombuffer(document.counts, dtype="<i8").astype(np.int64)
        if np.any(counts < 0):
            raise ValueError("the counts of a reference are not negative")
        reference = cls(ruler, counts, frozen_at=document.frozen_at, tolerance=tolerance, threshold=threshold)
        reference.judging.restore(document.columns)
        return reference


def as_baseline(column: FeatureBaseline, counts: Counts) -> FeatureBaseline:
    """A column's ruler with other rows: those of live traffic, whose days vary as training's did."""
    return msgspec.structs.replace(column, counts=tuple(counts.tolist()), n=int(counts.sum()))


def by_column(ruler: Ruler, parts: Mapping[int, Counts]) -> Counts:
    """Counts of some columns as one array of all cells."""
    counts = np.zeros(ruler.size, dtype=np.int64)
    for number, part in parts.items():
        ruler.of(counts, number)[:] = part
    return counts
