"""How a child process learns that it shall stop: by SIGTERM, or because its supervisor is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


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
