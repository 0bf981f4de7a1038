"""Bytes of a model protocol to feature rows and predictions. Pure: no sockets, no clock; one file a protocol.

`reading` is the entry; it picks the protocol. Whatever a body holds, the only error that leaves is `Undecodable`.
"""

from __future__ import annotations

from sidecar.payload.reading import read_features, read_prediction
from sidecar.payload.undecodable import Undecodable

__all__ = ["Undecodable", "read_features", "read_prediction"]
