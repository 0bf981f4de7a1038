"""Compressed bodies unpacked on the copy, in linear time and bounded: the served bytes never pass through here.

Invariant: of what a body unpacks to, never more than MOST_BYTES is held, nor more than MOST_RATIO times the body
beyond a free part: a zip bomb costs no more than a large body. One stream only, and nothing behind it, since each
further one would copy what is left. Codings that need a package (br, zstd) are not known. Called by `reading`.
Source: RFC 9110 section 8.4.1; RFC 1950 to 1952.
"""

from __future__ import annotations

import zlib

from sidecar.payload.undecodable import Undecodable

MOST_BYTES = 4_194_304  # as `limits.mirror_body_bytes` by default; parsed, a body may need fifty times its size
MOST_RATIO = 200  # JSON of repeated values reaches 100; deflate itself ends at 1,032
FREE_BYTES = 65_536

_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15


def plain(body: bytes, content_encoding: str) -> bytes:
    """The body without its content coding; itself where there is none.

    Raises:
        Undecodable: "encoding" when it is not known, broken or cut, "too_large" beyond the bounds.
    """
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        return _unpacked(body, _GZIP_BITS)
    if coding == "deflate":
        # RFC 9110 means the zlib format; some send the bare stream (a note there says so).
        whole = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _unpacked(body, _ZLIB_BITS if whole else _RAW_BITS)
    raise Undecodable("encoding")


def _unpacked(body: bytes, window_bits: int) -> bytes:
    most = min(MOST_BYTES, FREE_BYTES + MOST_RATIO * len(body))
    stream = zlib.decompressobj(window_bits)
    try:
        unpacked = stream.decompress(body, most + 1)
    except zlib.error:
        raise Undecodable("encoding") from None
    if len(unpacked) > most:
        raise Undecodable("too_large")
    if not stream.eof or stream.unused_data:
        raise Undecodable("encoding")
    return unpacked
