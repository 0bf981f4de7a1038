"""What a summary needs of rows in memory, however they are kept.

Invariant: columns are of equal length and their values in the same order. Implemented by `value_rows` (Python values
and numpy arrays) and `arrow_rows` (Arrow record batches); used by table summaries.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from registry_client.column_summary import ColumnSummary


class Rows(Protocol):
    """Some rows of a table."""

    @property
    def size(self) -> int:
        """How many rows there are."""

    def summary(self, name: str, seen: ColumnSummary | None) -> ColumnSummary:
        """One column summed up as one block; `seen` is what it will be added to. ValueError where it will not do."""

    def days(self, name: str) -> NDArray[np.int64]:
        """One column as days (see `time_blocks`); ValueError in words that follow the column's name."""

    def scores(self, name: str) -> NDArray[np.float64]:
        """One column as numbers, NaN where there is none."""

    def signs(self, name: str) -> NDArray[np.int8]:
        """One column as 1 (positive), 0 (negative) or -1 (neither)."""

    def taken(self, places: NDArray[np.int64]) -> Rows:
        """The rows at these places."""
