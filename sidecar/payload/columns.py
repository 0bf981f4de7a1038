"""The feature columns of one request: all clean numbers as one matrix, everything else column by column.

Invariant: every column has `rows` values and a name of its own; `order` is the payload's. As a mapping it gives one
column after the other; whoever counts many requests takes `numbers` as a block instead. Never a list of rows.
Made by the protocol readers, read by the drift watcher.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.records import Column

_NOTHING: dict[str, Column] = {}


class Columns(Mapping[str, Column]):
    """Columns by name.

    Attributes:
        rows: how many values each has.
        order: every name, in the payload's order.
        names: of the columns of `numbers`; the very tuple that the reading was given, where they are the same.
        numbers: (rows, len(names)), of float, integer or unsigned kind, in any memory order, perhaps the body's own
            bytes; NaN is missing.
        others: texts, booleans, and columns of several types.
    """

    __slots__ = ("_places", "names", "numbers", "order", "others", "rows")

    def __init__(
        self,
        rows: int,
        names: tuple[str, ...],
        numbers: NDArray[Any],
        others: dict[str, Column] | None = None,
        order: tuple[str, ...] | None = None,
    ) -> None:
        self.rows = rows
        self.names = names
        self.numbers = numbers
        self.others: Mapping[str, Column] = _NOTHING if others is None else others
        self.order = names if order is None else order
        self._places: dict[str, int] | None = None

    @classmethod
    def none(cls) -> Columns:
        """Of a request without rows."""
        return cls(0, (), np.empty((0, 0)))

    def __getitem__(self, name: str) -> Column:
        if self._places is None:
            self._places = {known: place for place, known in enumerate(self.names)}
        place = self._places.get(name)
        return self.others[name] if place is None else self.numbers[:, place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)
