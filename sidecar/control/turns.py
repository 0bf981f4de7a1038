"""One verb at a time for each deployment, carried to its end, and its routing table sent in the order of commits.

Keeps: a caller that goes away does not stop a verb between commit and publication; a slower older table never
overtakes a newer one; a worker that is late holds up no other verb.
Does not: know what a verb does. Called by `controller` and `challengers`, which share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

_Done = TypeVar("_Done")


class Turns:
    """The order of all verbs.

    Args:
        publish: sends the routing table of what stands now; what is committed must go out, so it does not raise.
        settle: waits until the table is on disk and with the workers.
    """

    def __init__(self, publish: Callable[[], Awaitable[None]], settle: Callable[[], Awaitable[None]]) -> None:
        self._publish = publish
        self._settle = settle
        self._locks: dict[str, asyncio.Lock] = {}
        self._publishing = asyncio.Lock()
        self._begun: set[asyncio.Task[Any]] = set()

    def of(self, deployment: str) -> asyncio.Lock:
        """Held by the verb whose turn it is."""
        return self._locks.setdefault(deployment, asyncio.Lock())

    async def to_its_end(self, work: Coroutine[Any, Any, _Done]) -> _Done:
        """Does the work to its end, also when the caller is gone: what is written must go out, its head kept."""
        return await asyncio.shield(self.begin(work))

    def begin(self, work: Coroutine[Any, Any, _Done]) -> asyncio.Task[_Done]:
        """Work that no caller waits for, but `finish` does; it must not raise."""
        task = asyncio.create_task(work)
        self._begun.add(task)  # or it could be collected
        task.add_done_callback(self._begun.discard)
        return task

    async def publish(self) -> None:
        """Sends what stands now, one table at a time, each with the newest; then waits until it has arrived."""
        async with self._publishing:
            await self._publish()
        await self._settle()

    async def finish(self) -> None:
        """Waits for verbs whose caller went away; before the store is closed."""
        await asyncio.gather(*self._begun, return_exceptions=True)
