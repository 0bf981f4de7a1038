"""How a worker ends: accept no more, let callers have their answers, count the copies that end early, flush."""

from __future__ import annotations

import asyncio

from sidecar.proxy.link import Link
from sidecar.proxy.plane import Plane

# What was accepted before is a caller only in the loop's next turn.
ACCEPT_S = 0.02
FLUSH_S = 2.0
LOG_S = 1.0


async def drain(plane: Plane, server: asyncio.AbstractServer, link: Link) -> bool:
    """Drains within `drain_s`; True when every request in flight was answered."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plane.bounds.drain_s
    plane.draining = True
    link.draining()
    server.close()
    await asyncio.sleep(ACCEPT_S)
    for caller in list(plane.callers):
        caller.drain()
    # Not only every request served: what was written has left, too. Tunnels have no end of their own: they may stay
    # as long as there is something else to wait for.
    while (plane.tally.inflight or plane.callers) and loop.time() < deadline:
        if all(caller.tunnelling for caller in plane.callers):
            for caller in list(plane.callers):
                caller.expire()
        await asyncio.sleep(0.02)
    # A copy whose caller has been served may end too, while there is time; then it is cut and counted.
    grace = min(deadline, loop.time() + 1.0)
    while plane.mirror.legs and loop.time() < grace:
        await asyncio.sleep(0.02)
    answered = plane.tally.inflight == 0
    plane.close()
    if plane.access_log is not None:
        await plane.access_log.close(LOG_S)
    await link.close(min(FLUSH_S, max(0.1, deadline - loop.time())))
    return answered
