"""Bytes to a JSON document, as forgiving as real servers need and no more.

Invariant: linear time, and nothing but `Undecodable` leaves, whatever the bytes are. Every text in the document can
be written as UTF-8. Servers do send a byte order mark, bare NaN and 1e400 (MLflow, Triton, TF Serving): orjson
refuses these, the standard library takes them, so it is asked second. Duplicate keys: the last one counts.
Called by the protocol readers through `reading`.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

import orjson

from sidecar.payload.undecodable import Undecodable


def parse(body: bytes) -> Any:
    """The document in `body`. Raises Undecodable("json")."""
    plain = body.removeprefix(codecs.BOM_UTF8)
    try:
        return orjson.loads(plain)
    except orjson.JSONDecodeError:
        return _parse_leniently(plain)


def _parse_leniently(plain: bytes) -> Any:
    try:
        document = json.loads(plain.decode())
        if b"\\ud" in plain.lower():
            # Half a surrogate pair is let by here, and would fail later wherever a text is hashed or stored.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, a number of 5,000 digits
        raise Undecodable("json") from None
    return document
