"""The last steps of a process that ends in order: its tasks are over, and what it knew is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sidecar.errors import SidecarError

log = logging.getLogger("sidecar.control")


async def ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def kept(write: Callable[[], Awaitable[None]]) -> None:
    """A last write, which a full disk must not turn into a crash."""
    try:
        await write()
    except SidecarError as error:
        log.warning("not everything was kept", extra={"fields": {"says": str(error)}})
