"""Bytes of a model protocol to feature rows and predictions. Pure: no sockets, no clock; one file a protocol.

`reading` is the entry: it unpacks the copy, picks the protocol, and asks its reader. Every reader makes `Tensor`s of
what it finds; `naming` makes columns of them, `outputs` a prediction. Whatever a body holds, the only error that
leaves is `Undecodable`.
"""

from __future__ import annotations

from sidecar.payload.columns import Columns
from sidecar.payload.message import Message
from sidecar.payload.reading import Reading, read_features, read_prediction
from sidecar.payload.undecodable import Undecodable

__all__ = ["Columns", "Message", "Reading", "Undecodable", "read_features", "read_prediction"]
