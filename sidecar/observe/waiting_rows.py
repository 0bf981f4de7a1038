"""Sampled rows that wait to be counted together, put in columns when there are enough.

Keeps: rows of one request are taken whole or refused whole; values as the payload had them. A request of one row is
held as one flat list, since a list for each value would be most of the memory.
Does not count. Called by: the counting of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from registry_client.column import Column
from sidecar.observe.bucket_counts import least_names
from sidecar.observe.number_blocks import BLOCK_VALUES
from sidecar.observe.ruler import AS_TRAINED, KEYS_MISSING, Ruler
from sidecar.payload.columns import Columns
from sidecar.records import Prediction, Sample

_NAME_LENGTH = 40
_MOST_NAMES = 1_024


class WaitingRows:
    """Rows of one bucket that were not counted yet. `taken` of them wait."""

    __slots__ = (
        "_block", "_block_names", "_blocks", "_last", "_listed", "_names", "_ruler", "_said", "_shape", "_wide",
        "absent", "extra", "schema", "taken",
    )  # fmt: skip

    def __init__(self, ruler: Ruler) -> None:
        self._ruler = ruler
        self._names = ruler.names
        self._last: tuple[str, ...] = ()
        self._shape = _Shape(ruler, ())
        self.clear()

    def clear(self) -> None:
        """Nothing waits any more."""
        self.taken = 0
        # Requests of one row, a list of values each; columns, and blocks of numbers, by the columns' names. Nearly all
        # blocks have the names of the one before: to look these up would cost more than all the rest.
        self._listed: list[list[object]] = []
        self._wide: dict[tuple[str, ...], list[Mapping[str, Column]]] = {}
        self._blocks: dict[tuple[str, ...], list[NDArray[np.generic]]] = {}
        self._block_names: tuple[str, ...] | None = None
        self._block: list[NDArray[np.generic]] = []
        self._said: list[Prediction] = []
        self.absent: Counter[str] = Counter()
        self.extra: Counter[str] = Counter()
        self.schema = [0, 0]

    def take(self, sample: Sample) -> bool:
        """Takes a sample's rows; False, and nothing taken, where its columns are no columns of the baseline's."""
        features, rows = sample.features, sample.rows
        if isinstance(features, Columns):
            if not self._take_block(features, rows):
                return False
        elif rows == 1 and len(features) == len(self._names):
            try:
                self._listed.append([value for (value,) in map(features.__getitem__, self._names)])
            except KeyError:
                if not self._take_columns(sample):
                    return False
            except (TypeError, ValueError):  # no column, or not of one value
                return False
            else:
                self.schema[AS_TRAINED] += 1
        elif not self._take_columns(sample):
            return False
        self.taken += rows
        if sample.prediction is not None:
            self._said.append(sample.prediction)
        return True

    def columns(self) -> list[Column]:
        """A column of values for each of the ruler's but the schema, in its order: the prediction's first."""
        ruler = self._ruler
        parts: list[list[Column]] = [[] for _ in ruler.columns]
        if self._listed:
            for number, column in zip(ruler.features, zip(*self._listed, strict=True), strict=True):
                parts[number].append(column)
        self._add_wide(parts)
        for name, rows in self.absent.items():
            parts[ruler.numbers[name]].append([None] * rows)
        if ruler.predicts:
            parts[0] = _predicted(self._said, scored=ruler.columns[0].kind == "numeric")
        return [_joined(column) for column in parts[: ruler.schema]]

    def _add_wide(self, parts: list[list[Column]]) -> None:
        """Adds the columns of requests that have more rows than one, or are a block."""
        numbers = self._ruler.numbers
        for names, blocks in self._blocks.items():
            block = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
            # Few rows are turned round in one step; of many it would take more memory than all the rest.
            turned = np.ascontiguousarray(block.T) if block.size <= BLOCK_VALUES else block.T
            for name, column in zip(names, turned, strict=True):
                if name in numbers:
                    parts[numbers[name]].append(column)
        for names, columns in self._wide.items():
            for name in names:
                if name in numbers:
                    found = [columns_of_one[name] for columns_of_one in columns]
                    if set(map(type, found)) == {list}:
                        parts[numbers[name]].append(list(chain.from_iterable(found)))
                    else:
                        parts[numbers[name]] += map(_values, found)

    def _take_block(self, features: Columns, rows: int) -> bool:
        others = features.others
        if features.rows != rows or (others and any(len(column) != rows for column in others.values())):
            return False
        if not self._fits(features.order, rows):
            return False
        if names := features.names:
            if names is not self._block_names:
                self._block_names, self._block = names, self._blocks.setdefault(names, [])
            self._block.append(features.numbers)
        if others:
            self._wide.setdefault(tuple(others), []).append(others)
        return True

    def _take_columns(self, sample: Sample) -> bool:
        features = sample.features
        if any(len(column) != sample.rows for column in features.values()):
            return False
        names = tuple(features)
        if not self._fits(names, sample.rows):
            return False
        self._wide.setdefault(names, []).append(features)
        return True

    def _fits(self, found: tuple[str, ...], rows: int) -> bool:
        """Notes which keys are absent or unknown; False where none is known."""
        if found == self._names:
            self.schema[AS_TRAINED] += rows
            return True
        if found != self._last:
            self._last, self._shape = found, _Shape(self._ruler, found)
        shape = self._shape
        if self._names and not shape.known:
            return False
        for name in shape.absent:
            self.absent[name] += rows
        for name in shape.extra:
            self.extra[name] += rows
        if len(self.extra) > _MOST_NAMES:
            self.extra = Counter(least_names(self.extra))
        self.schema[shape.schema] += rows
        return True


class _Shape:
    """How the keys of a request differ from training's; most requests have the keys of the one before."""

    __slots__ = ("absent", "extra", "known", "schema")

    def __init__(self, ruler: Ruler, found: tuple[str, ...]) -> None:
        known = ruler.numbers.keys() & set(found)
        self.known = bool(known)
        self.absent = tuple(ruler.numbers.keys() - known)
        self.extra = tuple(_shown(name) for name in found if name not in known)
        self.schema = AS_TRAINED if ruler.always.isdisjoint(self.absent) else KEYS_MISSING


def _shown(name: str) -> str:
    """A name fit for a list: cut, and what cannot be printed shown as a replacement mark."""
    cut = name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in cut)


def _values(column: Column) -> Column:
    # Rows of tensors are no numbers: as a list each counts as one value of a wrong type.
    return list(column) if isinstance(column, np.ndarray) and column.ndim != 1 else column


def _predicted(said: list[Prediction], *, scored: bool) -> list[Column]:
    read: Callable[[Prediction], Column | None] = (lambda p: p.scores) if scored else (lambda p: p.labels)
    return [list(chain.from_iterable(read(prediction) or () for prediction in said))]


def _joined(parts: list[Column]) -> Column:
    """One column of several; arrays of numbers stay one array."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray) and part.dtype.kind in "fiu"]
    if arrays and len(arrays) == len(parts):
        return np.concatenate(arrays)
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]
