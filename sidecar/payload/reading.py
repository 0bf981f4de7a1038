"""The entry to payloads: which protocol, then its reader.

Invariant: only `Undecodable` leaves, whatever the bytes are; compressed bodies are not unpacked (a zip bomb is no
use then). The content type is no discriminator: real clients send none, or `text/plain`; it only rules out forms
that cannot be JSON. Called by the intake, for requests and for answers.
"""

from __future__ import annotations

from typing import Any

from sidecar.payload import oip
from sidecar.payload.document import parse
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Column, Prediction

_PROTOCOLS = frozenset({"auto", "oip"})
_NOT_JSON = ("application/grpc", "application/x-protobuf", "application/vnd.apache", "multipart/", "text/csv")


def read_features(
    protocol: str, content_type: str, content_encoding: str, body: bytes, names: tuple[str, ...]
) -> tuple[int, dict[str, Column]]:
    """Rows and feature columns of a request; every column has `rows` values.

    Args:
        protocol: "auto" or "oip".
        content_type: as the header had it, may be empty.
        content_encoding: as the header had it; anything but identity cannot be read.
        body: the request's bytes.
        names: the features in order, used where the payload has no names and the count fits.

    Raises:
        Undecodable: with the reason.
    """
    return oip.features(_document(protocol, content_type, content_encoding, body), names)


def read_prediction(
    protocol: str, content_type: str, content_encoding: str, body: bytes, prediction_name: str | None
) -> Prediction:
    """Labels and scores of an answer, one per row. `prediction_name` selects the monitored output.

    Raises:
        Undecodable: with the reason.
    """
    return oip.prediction(_document(protocol, content_type, content_encoding, body), prediction_name)


def _document(protocol: str, content_type: str, content_encoding: str, body: bytes) -> Any:
    if content_encoding.strip().lower() not in ("", "identity"):
        raise Undecodable("encoding")
    if protocol not in _PROTOCOLS or content_type.strip().lower().startswith(_NOT_JSON):
        raise Undecodable("protocol")
    return parse(body)
