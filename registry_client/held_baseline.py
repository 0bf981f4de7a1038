"""A baseline as whoever watches holds it for weeks: without what only builders read, each number in eight bytes.

Invariant: digest, cells, counts and quantiles are those of the document that was read. A document cannot be made of it
again: its histograms are gone. `packed` and `unpacked` are two steps so that the whole one, ten times as large, can go
in between: Python gives memory back by the megabyte, and only where nothing of it is in use.
Called by the sidecar's control, which holds one for every version that is watched.
"""

from __future__ import annotations

from array import array
from typing import cast

import msgspec
from msgspec.structs import replace

from registry_client.baseline import Baseline, FeatureBaseline


class _Column(msgspec.Struct, frozen=True, array_like=True):
    """`quantiles`: eight bytes each, as this machine has them."""

    document: bytes
    quantiles: bytes


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    document: bytes
    features: list[_Column]
    prediction: _Column | None


def packed(baseline: Baseline) -> bytes:
    """What is needed of a baseline; as Python's own objects 512 quantiles take 16 KiB and a histogram 40."""
    prediction = None if baseline.prediction is None else _packed(baseline.prediction)
    document = msgspec.msgpack.encode(replace(baseline, features=(), prediction=None))
    return msgspec.msgpack.encode(_Packed(document, [_packed(column) for column in baseline.features], prediction))


def unpacked(kept: bytes) -> Baseline:
    """The baseline to hold: about 5 KiB a numeric column."""
    whole = msgspec.msgpack.decode(kept, type=_Packed)
    baseline = msgspec.msgpack.decode(whole.document, type=Baseline)
    prediction = None if whole.prediction is None else _unpacked(whole.prediction)
    return replace(baseline, features=tuple([_unpacked(column) for column in whole.features]), prediction=prediction)


def _packed(column: FeatureBaseline) -> _Column:
    document = msgspec.msgpack.encode(replace(column, log_histogram=None, quantiles=()))
    return _Column(document, array("d", column.quantiles).tobytes())


def _unpacked(column: _Column) -> FeatureBaseline:
    found = msgspec.msgpack.decode(column.document, type=FeatureBaseline)
    # Whoever reads quantiles indexes them, or makes an array of them.
    quantiles = cast("tuple[float, ...]", array("d", column.quantiles))
    return replace(found, quantiles=quantiles) if column.quantiles else found
