"""What a baseline makes of the columns of live traffic: their order, cells and places in one array of counts.

Invariant: a function of the baseline alone, so counts by the same ruler add up, column by column. The prediction comes
first, then the features as training had them, and last the schema: whether rows came with the keys that training had
(`SCHEMA_CELLS`), judged by the same test as any column.
Does not count. Called by: whatever counts rows, and by the drift observer.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline, FeatureBaseline
from registry_client.cells import CategoricalCells
from sidecar.observe.alarms import PREDICTION_KEY, SCHEMA_KEY

# A row came as training had it; a key that training always had was absent; nothing of it could be read.
SCHEMA_CELLS = ("as trained", "keys missing", "unreadable")
AS_TRAINED, KEYS_MISSING, UNREADABLE = range(3)


class Ruler:
    """The columns under watch, by number. Column k counts into `cells[offsets[k]:offsets[k + 1]]`.

    Attributes:
        names: of the features; `features` are their numbers, `schema` that of the schema.
        predicts: whether column 0 is the prediction.
        numeric: numbers of the columns that have a log histogram.
        always: features that training had in each row: an absent key of another one is nothing new.
    """

    def __init__(self, baseline: Baseline) -> None:
        first = () if baseline.prediction is None else (baseline.prediction,)
        self.digest = baseline.digest
        self.predicts = bool(first)
        expected = map(with_unseen, (*first, *baseline.features))
        self.columns: tuple[FeatureBaseline, ...] = (*expected, _schema(baseline.rows))
        self.schema = len(self.columns) - 1
        self.features = range(len(first), self.schema)
        self.names: tuple[str, ...] = tuple(feature.name for feature in baseline.features)
        self.numbers: dict[str, int] = dict(zip(self.names, self.features, strict=True))
        self.always = frozenset(feature.name for feature in baseline.features if not feature.missing)
        self.numeric: tuple[int, ...] = tuple(k for k, c in enumerate(self.columns) if c.kind == "numeric")
        sizes = [column.cells.size for column in self.columns]
        self.offsets: tuple[int, ...] = (0, *np.cumsum(sizes).tolist())

    @property
    def size(self) -> int:
        """Cells of all columns together."""
        return self.offsets[-1]

    def key(self, column: int) -> str:
        """Under which key the alarm of a column stands."""
        if column == self.schema:
            return SCHEMA_KEY
        return f"feature/{self.columns[column].name}" if column in self.features else PREDICTION_KEY

    def of(self, counts: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        """One column's part of the counts of all: a view."""
        return counts[self.offsets[column] : self.offsets[column + 1]]


def with_unseen(column: FeatureBaseline) -> FeatureBaseline:
    """The column as live rows must be expected to look: some categories that training never saw are nothing new.

    Good and Turing: the share of rows whose category never came before is that of the categories that came once. So
    that many rows move from the rare categories to those never seen. (Good 1953, "The population frequencies of
    species"; a document that does not tell how many came once gives at least two for each rare one less its rows.)
    """
    cells = column.cells
    if not isinstance(cells, CategoricalCells) or not cells.tail:
        return column
    first, unseen = len(cells.categories), cells.unseen_index
    rare = np.array(column.counts[first:unseen], dtype=np.int64)
    once = column.singletons or max(0, 2 * len(cells.tail) - int(rare.sum()))
    left = rare * (rare.sum() - once) // max(int(rare.sum()), 1)
    counts = list(column.counts)
    counts[first:unseen] = left.tolist()
    counts[unseen] += int(rare.sum() - left.sum())
    return msgspec.structs.replace(column, counts=tuple(counts))


def _schema(rows: int) -> FeatureBaseline:
    """All rows of training came as training had them."""
    return FeatureBaseline(
        name=SCHEMA_KEY,
        kind="categorical",
        counts=(rows, *(0,) * (len(SCHEMA_CELLS) + 2)),
        n=rows,
        missing=0,
        wrong_type=0,
        categories=SCHEMA_CELLS,
    )
