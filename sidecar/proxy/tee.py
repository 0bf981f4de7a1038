"""What is kept of a request's body while it streams to the champion: for one repeat, for copies, for the exchange.

Bounded for one request and, together with all mirror work, for the worker. A body that does not fit is served all
the same; `missing` then says why nothing was kept. Used by a Journey, which must `drop` it in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane


class Tee:
    """The kept parts of one body."""

    __slots__ = ("_held", "_plane", "_size", "missing", "parts")

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._held = 0
        self._size = 0
        self.parts: list[bytes] = []
        self.missing: str | None = None

    def add(self, part: bytes) -> None:
        """Keeps a part, or gives up the whole."""
        if self.missing is not None:
            return
        bounds, mirror = self._plane.bounds, self._plane.mirror
        self._size += len(part)
        if self._size > bounds.mirror_body_bytes:
            self._give_up("body_too_large")
        elif mirror.held_bytes + len(part) > bounds.mirror_bytes:
            self._give_up("bytes_full")
        else:
            self.parts.append(part)
            self._held += len(part)
            mirror.held_bytes += len(part)

    def hand_over(self) -> bytes:
        """The whole body as one object; whoever keeps it counts it from now on."""
        body = b"".join(self.parts)
        self.parts = [body]
        self.drop()
        return body

    def drop(self) -> None:
        """Its bytes are counted no more."""
        self._plane.mirror.held_bytes -= self._held
        self._held = 0

    def _give_up(self, why: str) -> None:
        self.missing = why
        self.parts = []
        self.drop()
