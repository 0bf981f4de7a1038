"""How the challenger's predictions are distributed beside the champion's on the same rows, as PSI.

Invariant: counts only, so merging is exact; the cells do not depend on which version's data came first. Scores in
[0, 1] fall into 20 fixed cells; once any score leaves that range, at most 20 groups of log cells with nearly equal
pooled mass are used, since hundreds of thin cells would show nothing but noise. A missing score (NaN) has a cell of
its own: a version that stops scoring moves away from one that scores. Labels: their shares; once one side has more
than 200, those of 100 groups by the labels' hash on both sides, so that neither first rows nor rare labels tell.
Does not judge: the prediction gate does. Used by the comparison observer.
"""

from __future__ import annotations

import math
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.log_histogram import INFINITE_CELL, LogHistogram, LogHistogramDocument
from sidecar.records import Prediction
from sidecar.stats.psi import psi

Counts = NDArray[np.float64]

CELLS = 20
_MOST_LABELS = 200
_GROUPS = 100
_LABEL_LENGTH = 40


class SideDocument(msgspec.Struct, frozen=True):
    """One version's predictions as they are stored."""

    cells: list[int]
    outside: int
    scores: LogHistogramDocument
    labels: dict[str, int]
    groups: list[int] = []  # of the labels, where these are too many


class Side:
    """One version's predictions, counted."""

    def __init__(self) -> None:
        self.cells = [0] * CELLS
        self.outside = 0
        self.scores = LogHistogram()
        self.labels: dict[str, int] = {}
        self.groups: list[int] = []

    def fold(self, prediction: Prediction) -> None:
        """Counts every row."""
        for score in prediction.scores or ():
            self.scores.add(score)
            if 0.0 <= score <= 1.0:
                self.cells[min(int(score * CELLS), CELLS - 1)] += 1
            elif not math.isnan(score):
                self.outside += 1
        for label in prediction.labels or ():
            self._label(label[:_LABEL_LENGTH], 1)
        self._keep_limit()

    def merge(self, other: Side) -> None:
        """Adds another one, which stays as it is."""
        self.cells = [mine + theirs for mine, theirs in zip(self.cells, other.cells, strict=True)]
        self.outside += other.outside
        self.scores.merge(other.scores)
        for label, count in other.labels.items():
            self._label(label, count)
        if other.groups:
            mine = self.grouped()
            self.groups = [count + more for count, more in zip(mine, other.groups, strict=True)]
            self.labels = {}
        self._keep_limit()

    def grouped(self) -> list[int]:
        """Rows by group of their label."""
        groups = self.groups or [0] * _GROUPS
        for label, count in self.labels.items():
            groups[_group(label)] += count
        return list(groups)

    def to_document(self) -> SideDocument:
        """All of it, for the snapshot."""
        labels, groups = dict(self.labels), list(self.groups)
        return SideDocument(list(self.cells), self.outside, self.scores.to_document(), labels, groups)

    @classmethod
    def from_document(cls, document: SideDocument) -> Side:
        """Reads a document back; ValueError where it contradicts itself."""
        if len(document.cells) != CELLS:
            raise ValueError(f"prediction counts have {CELLS} cells, not {len(document.cells)}")
        side = cls()
        side.cells, side.outside = list(document.cells), document.outside
        if len(document.groups) not in (0, _GROUPS):
            raise ValueError(f"labels have {_GROUPS} groups, not {len(document.groups)}")
        side.scores, side.labels = LogHistogram.from_document(document.scores), dict(document.labels)
        side.groups = list(document.groups)
        return side

    def _label(self, label: str, count: int) -> None:
        if self.groups:
            self.groups[_group(label)] += count
        else:
            self.labels[label] = self.labels.get(label, 0) + count

    def _keep_limit(self) -> None:
        if len(self.labels) > _MOST_LABELS:
            self.groups, self.labels = self.grouped(), {}


def prediction_psi(champion: Side, challenger: Side) -> float | None:
    """PSI in nats of the challenger's scores, else labels, against the champion's; None without rows on both sides."""
    missing = champion.scores.nan, challenger.scores.nan
    if champion.scores.total + missing[0] and challenger.scores.total + missing[1]:
        sides: tuple[Counts | list[int], Counts | list[int]] = champion.cells, challenger.cells
        if champion.outside or challenger.outside:
            sides = _log_cells(champion.scores, challenger.scores)
        if any(missing):
            sides = np.append(sides[0], missing[0]), np.append(sides[1], missing[1])
        return psi(*sides)
    if champion.groups or challenger.groups:
        grouped = champion.grouped(), challenger.grouped()
        return psi(*grouped) if all(map(any, grouped)) else None
    if champion.labels and challenger.labels:
        labels = sorted({*champion.labels, *challenger.labels})
        return psi([champion.labels.get(x, 0) for x in labels], [challenger.labels.get(x, 0) for x in labels])
    return None


def _group(label: str) -> int:
    return crc32(label.encode("utf-8", "replace")) % _GROUPS


def _log_cells(champion: LogHistogram, challenger: LogHistogram) -> tuple[Counts, Counts]:
    """Counts of both in the same groups of neighbouring log cells, each with about a 20th of the pooled mass."""
    pooled = LogHistogram()
    pooled.merge(champion)
    pooled.merge(challenger)
    values, counts = pooled.atoms()
    if not values.size:
        return _grouped(champion, values), _grouped(challenger, values)
    middle = np.cumsum(counts) - counts / 2
    group = np.minimum((middle / counts.sum() * CELLS).astype(np.int64), CELLS - 1)
    edges = values[1:][group[1:] != group[:-1]]
    return _grouped(champion, edges), _grouped(challenger, edges)


def _grouped(histogram: LogHistogram, edges: NDArray[np.float64]) -> Counts:
    """Counts between the edges; the infinities lie beyond the first and the last one."""
    values, counts = histogram.atoms()
    place = np.searchsorted(edges, values, side="right")
    grouped = np.bincount(place, weights=counts, minlength=edges.size + 1)
    infinite = [histogram.counts.get(cell, 0) for cell in (-INFINITE_CELL, INFINITE_CELL)]
    return np.concatenate(([infinite[0]], grouped, [infinite[1]]))
