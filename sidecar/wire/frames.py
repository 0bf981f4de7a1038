"""The link's frames: four bytes of length, big-endian, then that many bytes of msgpack.

Both ends are processes of the same release and user, so a frame that does not decode is a fault of ours: it raises,
the link is closed, and both sides start afresh.
"""

from __future__ import annotations

from collections.abc import Iterator

FRAME_BYTES = 256 * 1024 * 1024


class BrokenFrame(Exception):
    """The other side sent something that is no frame."""


def frame(content: bytes) -> bytes:
    """One frame around `content`."""
    return len(content).to_bytes(4, "big") + content


class FrameReader:
    """Cuts a byte stream into frames' contents, however the stream was split."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Adds bytes; yields each frame that is now whole. Raises BrokenFrame."""
        pending = self._pending
        pending += data
        at = 0
        try:
            while len(pending) - at >= 4:
                length = int.from_bytes(pending[at : at + 4], "big")
                if length > FRAME_BYTES:
                    raise BrokenFrame(f"a frame of {length} bytes")
                if len(pending) - at - 4 < length:
                    break
                content = bytes(pending[at + 4 : at + 4 + length])
                at += 4 + length
                yield content
        finally:
            del pending[:at]
