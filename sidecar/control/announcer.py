"""Facts as they happen, for whoever listens now, and for the post. Nothing is kept here; a listener that does not read
is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from sidecar.standing import Event

_WAITING = 256


class Announcer:
    """Hands each event to every listener, and to `post`, which tells receivers that are not here."""

    def __init__(self, post: Callable[[Event], None] = lambda _: None) -> None:
        self.post = post
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    def announce(self, event: Event) -> None:
        """Tells all; never waits."""
        self.post(event)
        for queue in list(self._listeners):
            if queue.qsize() >= _WAITING:
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def listen(self) -> AsyncIterator[Event]:
        """Events from this call on; ends for a listener that fell too far behind."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners.add(queue)
        return self._read(queue)

    async def _read(self, queue: asyncio.Queue[Event | None]) -> AsyncIterator[Event]:
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)
