"""How a child process learns that it shall stop: by SIGTERM, or because its supervisor is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


def stop_when_told(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Sets `stopping` on SIGTERM, SIGINT, or when standard input (a pipe that the supervisor holds) ends."""
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # Ctrl-C reaches the whole group; the supervisor answers it by SIGTERM in the right order.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    supervisor = sys.stdin.fileno()

    def look() -> None:
        if not os.read(supervisor, 1):
            loop.remove_reader(supervisor)
            stopping.set()

    loop.add_reader(supervisor, look)
