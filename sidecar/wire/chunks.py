"""Chunked coding, written (RFC 9112 section 7.1). Reading it is the parser's work."""

from __future__ import annotations

from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(part: bytes) -> bytes:
    """One chunk; nothing for an empty part, since an empty chunk would end the body."""
    return b"%x\r\n%s\r\n" % (len(part), part) if part else b""


def framed(body: bytes, *, chunked: bool) -> bytes:
    """A whole body as it stands on the wire."""
    return chunk(body) + LAST_CHUNK if chunked else body
