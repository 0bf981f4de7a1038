"""Names for columns: what the payload says, else what is given from outside, never a guess.

Invariant: a tensor of one column is a feature under its own name; a wide one's columns are named from outside where
the count fits, else NAME[0], NAME[1] ... Rows that disagree between tensors, and a name that comes twice, are refused.
Called by the protocol readers for requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.payload.columns import Columns
from sidecar.payload.tensor import MOST_COLUMNS, Tensor
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Column


def columns_of(tensors: Sequence[Tensor], names: tuple[str, ...]) -> Columns:
    """The columns of a request's tensors; `names` are the features in order, for tensors without names.

    Raises:
        Undecodable: "too_large", or "shape" when rows or names contradict each other.
    """
    if not tensors:
        return Columns.none()
    if len(tensors) == 1 and tensors[0].names is not None and (block := tensors[0].matrix()) is not None:
        own = _same(tensors[0].names, names)
        if own is not names and len(set(own)) < len(own):
            raise Undecodable("shape")
        return Columns(len(block), own, block)
    if sum(tensor.width for tensor in tensors) > MOST_COLUMNS:
        raise Undecodable("too_large")
    if len({tensor.rows for tensor in tensors}) != 1:
        raise Undecodable("shape")
    order = names_of(tensors, names)
    if len(set(order)) < len(order):
        raise Undecodable("shape")
    return _gathered(tensors, order, names)


def _gathered(tensors: Sequence[Tensor], order: tuple[str, ...], names: tuple[str, ...]) -> Columns:
    """Numbers into one block, the rest column by column."""
    numeric: list[str] = []
    blocks: list[NDArray[Any]] = []
    others: dict[str, Column] = {}
    left = iter(order)
    for tensor in tensors:
        own = tuple(islice(left, tensor.width))
        matrix = tensor.matrix()
        if matrix is not None:
            numeric += own
            blocks.append(matrix)
            continue
        for place, name in enumerate(own):
            column = tensor.column(place)
            if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
                numeric.append(name)
                blocks.append(column[:, None])
            else:
                others[name] = column
    rows = tensors[0].rows
    found = _same(tuple(numeric), names)
    if not blocks:
        return Columns(rows, (), np.empty((rows, 0)), others, order)
    block = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    return Columns(rows, found, block, others, _same(order, found))


def names_of(tensors: Sequence[Tensor], names: tuple[str, ...]) -> tuple[str, ...]:
    """A name for every column, tensor by tensor.

    Names from outside that no tensor bears go to the columns without a name, in order, if their counts are equal.
    """
    known = frozenset(names)
    # A lone tensor of one column is anonymous too; beside others its name is meant, even one that nobody knows.
    lone = len(tensors) == 1
    own = [
        tensor.names or ((tensor.name,) if tensor.width == 1 and (tensor.name in known or not lone) else None)
        for tensor in tensors
    ]
    claimed = frozenset(chain.from_iterable(given for given in own if given is not None))
    left = [name for name in names if name not in claimed]
    nameless = sum(tensor.width for tensor, given in zip(tensors, own, strict=True) if given is None)
    if nameless and nameless == len(left):
        outside = iter(left)
        return tuple(
            chain.from_iterable(
                islice(outside, tensor.width) if given is None else given
                for tensor, given in zip(tensors, own, strict=True)
            )
        )
    return tuple(chain.from_iterable(given or _numbered(t) for t, given in zip(tensors, own, strict=True)))


def _numbered(tensor: Tensor) -> Sequence[str]:
    if tensor.width == 1 and tensor.name:
        return (tensor.name,)
    return [f"{tensor.name}[{place}]" for place in range(tensor.width)]


def _same(found: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The known tuple in place of an equal one: whoever groups by names compares them faster."""
    return known if found == known else found
