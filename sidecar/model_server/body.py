"""Request bodies as they were meant: decompressed, and never larger than the limit on the way.

Invariant: at most `limit_bytes` (and one byte more, to know) are ever held of what a body unpacks to.
aiohttp could unpack by itself, but a broken gzip stream then ends in its own 500 and a logged traceback.
Reads no sockets; `server.py` calls it with the bytes as they came.
"""

from __future__ import annotations

import zlib

from sidecar.model_server.errors import BodyTooLarge, EncodingNotSupported, RequestRefused

# zlib's window bits. RFC 9110 8.4.1: "deflate" is the zlib format, and x-gzip means gzip.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decoded(body: bytes, content_encoding: str, limit_bytes: int) -> bytes:
    """`body` without its content encoding (one of gzip, deflate, identity or none).

    Raises:
        RequestRefused: the bytes are not of that encoding, or end too early.
        BodyTooLarge: they unpack to more than `limit_bytes`.
        EncodingNotSupported: another encoding.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise EncodingNotSupported("the request's content-encoding must be gzip, deflate or identity")
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise RequestRefused(f"the request body is not valid {encoding}") from None
    if len(plain) > limit_bytes:
        raise BodyTooLarge(f"the request body is over {limit_bytes} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise RequestRefused(f"the request body is not one whole {encoding} stream")
    return plain
