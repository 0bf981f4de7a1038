"""A request's body on its way: what waits for the champion's connection, and what is kept beyond it.

Kept for one repeat, for copies, for the exchange; bounded for one request and, together with all mirror work, for the
worker. A body that does not fit is served all the same; `missing` then says why nothing was kept. Used by a Journey,
which must `drop` it in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane


class Tee:
    """One body. `size` is what came of it, `unsent_size` what of that waits to be sent, in bytes."""

    __slots__ = ("_held", "_parts", "_plane", "_unsent", "missing", "size", "unsent_size")

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._held: int = 0
        self.size: int = 0
        self._parts: list[bytes] = []
        self._unsent: list[bytes] = []
        self.unsent_size: int = 0
        self.missing: str | None = None

    def expect(self, length: int | None) -> None:
        """The body will be so long: if that is too much, room is left to others from the start."""
        if length is not None and length > self._plane.mirror_body_bytes:
            self._give_up("body_too_large")

    def add(self, part: bytes) -> None:
        """Keeps a part, or gives up the whole."""
        self.size += len(part)
        if self.missing is not None:
            return
        plane = self._plane
        mirror = plane.mirror
        if self.size > plane.mirror_body_bytes:
            self._give_up("body_too_large")
        elif mirror.held_bytes + len(part) > plane.mirror_bytes:
            self._give_up("bytes_full")
        else:
            self._parts.append(part)
            self._held += len(part)
            mirror.held_bytes += len(part)

    def wait(self, part: bytes) -> None:
        """A part that cannot be sent yet."""
        self._unsent.append(part)
        self.unsent_size += len(part)

    def take_unsent(self) -> bytes:
        """All that waits to be sent, which is sent now."""
        unsent = self._unsent
        self._unsent = []
        self.unsent_size = 0
        return unsent[0] if len(unsent) == 1 else b"".join(unsent)

    def whole(self) -> bytes:
        """The kept body as one object; it stays kept."""
        parts = self._parts
        if len(parts) != 1:
            parts = self._parts = [b"".join(parts)]
        return parts[0]

    def send_again(self) -> None:
        """The kept body waits once more."""
        self._unsent = list(self._parts)
        self.unsent_size = self.size

    def hand_over(self) -> bytes:
        """The whole body as one object; whoever keeps it counts it from now on."""
        self.drop()
        return self.whole()

    def drop(self) -> None:
        """Its bytes are counted no more."""
        if self._held:
            self._plane.mirror.held_bytes -= self._held
            self._held = 0

    def _give_up(self, why: str) -> None:
        self.missing = why
        self._parts = []
        self.drop()
