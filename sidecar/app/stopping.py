"""How a child process learns that it shall stop: by SIGTERM, or because its supervisor is gone; and what gives way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any


def stop_when_told(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Sets `stopping` on SIGTERM, or when standard input (a pipe that the supervisor holds) ends."""
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # Ctrl-C and a closed terminal reach the whole group; the supervisor hears them and tells each child what it
    # shall do, in the right order.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    supervisor = sys.stdin.fileno()

    def look() -> None:
        if not os.read(supervisor, 1):
            loop.remove_reader(supervisor)
            stopping.set()

    loop.add_reader(supervisor, look)


async def unless_told(opening: Coroutine[Any, Any, None], stopping: asyncio.Event) -> bool:
    """Opens something that may wait for others; False where it was told to stop before that was done.

    What was begun is cancelled then, and has let go. Raises what the opening raises.
    """
    opened = asyncio.create_task(opening, name="opening")
    told = asyncio.create_task(stopping.wait(), name="told to stop")
    try:
        await asyncio.wait((opened, told), return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            opened.cancel()
        await asyncio.wait((opened,))
        if opened.cancelled():
            return False
        opened.result()
        return True
    finally:
        told.cancel()
        opened.cancel()
        await asyncio.gather(opened, told, return_exceptions=True)
