"""Two versions' vectors on the same rows: how far apart they are, and whether they rank alike.

Invariant: counts add, so merging two is exact but for the rounding of the sums; memory is bounded. Rows with a number
that is not finite, or of another width than the champion's, are counted apart. Does not judge or keep a vector.
Used by the comparison observer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.reports import Interval, VectorDifference
from sidecar.stats.confidence import proportion_interval

TOP = 10
Vectors = Sequence[Sequence[float]]
Floats = NDArray[np.float64]


class VectorGapsDocument(msgspec.Struct, frozen=True):
    """Vector gaps as they are stored."""

    rows: int = 0
    unlike: int = 0
    first: int = 0
    overlap: float = 0.0
    cosine: float = 0.0
    turned: LogHistogramDocument = LogHistogramDocument()
    furthest: LogHistogramDocument = LogHistogramDocument()
    largest: float = 0.0


class VectorGaps:
    """Challenger's vectors beside the champion's."""

    def __init__(self) -> None:
        self._rows = self._unlike = self._first = 0
        self._overlap = self._cosine = self._largest = 0.0
        self._turned, self._furthest = LogHistogram(), LogHistogram()

    def fold(self, champion: Vectors, challenger: Vectors) -> None:
        """As many rows of both."""
        if not champion:
            return
        one, two = np.asarray(champion, dtype=np.float64), np.asarray(challenger, dtype=np.float64)
        if one.shape != two.shape:
            self._unlike += len(champion)
            return
        whole = np.isfinite(one).all(axis=1) & np.isfinite(two).all(axis=1)
        self._unlike += int((~whole).sum())
        one, two = one[whole], two[whole]
        if not one.size:
            return
        self._rows += one.shape[0]
        furthest = np.abs(two - one).max(axis=1)
        self._furthest.update(furthest)
        self._largest = max(self._largest, float(furthest.max()))
        cosine = _cosine(one, two)
        self._cosine += float(cosine.sum())
        self._turned.update(np.maximum(0.0, 1.0 - cosine))
        self._first += int((one.argmax(axis=1) == two.argmax(axis=1)).sum())
        top = min(TOP, one.shape[1])
        best, other = (np.argsort(-each, axis=1, kind="stable")[:, :top] for each in (one, two))
        self._overlap += float((best[:, :, None] == other[:, None, :]).sum()) / top

    def merge(self, other: VectorGaps) -> None:
        """Adds another one, which stays as it is."""
        self._rows += other._rows
        self._unlike += other._unlike
        self._first += other._first
        self._overlap += other._overlap
        self._cosine += other._cosine
        self._largest = max(self._largest, other._largest)
        self._turned.merge(other._turned)
        self._furthest.merge(other._furthest)

    def report(self) -> VectorDifference | None:
        """None before the first row."""
        n = self._rows
        if not n:
            return None
        return VectorDifference(
            n=n,
            unlike=self._unlike,
            cosine=self._cosine / n,
            cosine_p5=1.0 - self._turned.quantile(0.95),
            max_abs_p50=min(self._furthest.quantile(0.5), self._largest),
            max_abs_p95=min(self._furthest.quantile(0.95), self._largest),
            max_abs=self._largest,
            same_first=Interval(self._first / n, *proportion_interval(self._first, n)),
            overlap_at_10=self._overlap / n,
        )

    def to_document(self) -> VectorGapsDocument:
        """All of it, for the snapshot."""
        return VectorGapsDocument(
            rows=self._rows,
            unlike=self._unlike,
            first=self._first,
            overlap=self._overlap,
            cosine=self._cosine,
            turned=self._turned.to_document(),
            furthest=self._furthest.to_document(),
            largest=self._largest,
        )

    @classmethod
    def from_document(cls, document: VectorGapsDocument) -> VectorGaps:
        """Reads a document back; ValueError where it contradicts itself."""
        if not 0 <= document.first <= document.rows:
            raise ValueError("more vectors agree than were compared")
        gaps = cls()
        gaps._rows, gaps._unlike, gaps._first = document.rows, document.unlike, document.first
        gaps._overlap, gaps._cosine, gaps._largest = document.overlap, document.cosine, document.largest
        gaps._turned = LogHistogram.from_document(document.turned)
        gaps._furthest = LogHistogram.from_document(document.furthest)
        return gaps


def _cosine(one: Floats, two: Floats) -> Floats:
    """Of each row; 1 where both are zero, 0 where one is. Scaled first, so that no square is infinite."""
    sizes = [np.abs(each).max(axis=1, keepdims=True) for each in (one, two)]
    scaled = [each / np.where(size > 0, size, 1.0) for each, size in zip((one, two), sizes, strict=True)]
    norms = [np.sqrt((each * each).sum(axis=1)) for each in scaled]
    product = norms[0] * norms[1]
    cosine = (scaled[0] * scaled[1]).sum(axis=1) / np.where(product > 0, product, 1.0)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    clipped: Floats = np.where(both_zero, 1.0, np.clip(cosine, -1.0, 1.0))
    return clipped
