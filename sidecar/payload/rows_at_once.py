"""The short way for rows of numbers, `instances` or `dataframe_split`: decoded by type, in one step.

Invariant: what it returns is what the long way would have returned; whatever is unusual (a text, a bare NaN, rows of
different lengths) gives None, and the long way decides, which alone names faults (it finds some beside the rows that
do not matter here). Called by `reading`.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.payload.columns import Columns
from sidecar.payload.naming import names_of
from sidecar.payload.tensor import MOST_COLUMNS, UNTYPED, Tensor

_Rows = list[list[float | None]]


class _Split(msgspec.Struct):
    data: _Rows
    columns: list[str] | None = None


class _Document(msgspec.Struct):
    instances: _Rows | None = None
    dataframe_split: _Split | None = None
    # What else could be meant; the long way decides.
    inputs: msgspec.Raw | None = None
    examples: msgspec.Raw | None = None
    dataframe_records: msgspec.Raw | None = None
    input_data: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Document).decode


def rows_of_numbers(body: bytes, names: tuple[str, ...]) -> Columns | None:
    """The columns of rows that are lists of numbers."""
    try:
        found = _decode(body)
        split, rows = found.dataframe_split, found.instances
        given = (rows, split, found.inputs, found.examples, found.dataframe_records, found.input_data)
        if given.count(None) != len(given) - 1:
            return None
        own: tuple[str, ...] | None = None
        if split is not None:
            rows, own = split.data, None if split.columns is None else tuple(split.columns)
        matrix = np.array(rows, dtype=np.float64)  # refuses rows of different lengths
    except (ValueError, RecursionError):
        return None
    return _named(matrix, own, names) if matrix.ndim == 2 and 0 < matrix.shape[1] <= MOST_COLUMNS else None


def _named(matrix: NDArray[np.float64], own: tuple[str, ...] | None, names: tuple[str, ...]) -> Columns | None:
    rows, width = matrix.shape
    if own is None:
        own = names if len(names) == width else names_of([Tensor("", UNTYPED, rows, width, [])], names)
    if len(own) != width or (own != names and len(set(own)) != width):
        return None
    return Columns(rows, names if own == names else own, matrix)
