"""What all connections of one worker share: the routing table, pools, mirror, counters, and the one coarse tick.

The table is swapped by reference between two callbacks, so a request sees one table from its first byte to its last.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.decide.routing_table import Bounds, Destination, Router, RoutingTable, Shadow
from sidecar.proxy.mirror import Mirror
from sidecar.proxy.tally import Tally
from sidecar.proxy.upstream import Pool
from sidecar.records import Exchange

if TYPE_CHECKING:
    from sidecar.proxy.listener import Caller

TICK_S = 1.0


class Plane:
    """The shared state of one proxy worker.

    Attributes:
        control_up: whether exchanges can be offered at all; set by the link.
        offer: hands a finished exchange to the link; never blocks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: str, table: RoutingTable) -> None:
        self._loop = loop
        self._pools: dict[tuple[str, str, int, str], Pool] = {}
        self._prefix = secrets.token_hex(8)
        self._minted = 0
        self.tally = Tally(worker)
        self.mirror = Mirror(self)
        self.callers: set[Caller] = set()
        self.draining = False
        self.control_up = False
        self.offer: Callable[[Exchange], None] = lambda _exchange: None
        self.bounds: Bounds = table.bounds
        self.swap(table)

    def now(self) -> float:
        """The loop's monotonic clock, in seconds."""
        return self._loop.time()

    def swap(self, table: RoutingTable) -> None:
        """From the next request on, route by this table. Requests in flight end where they began."""
        same_bounds = self.bounds == table.bounds
        self.table = table
        self.router = Router(table)
        self.bounds = table.bounds
        self.tally.expect(table.routes)
        used = {_key("", route.champion) for route in table.routes}
        used |= {_key(shadow.to.version, shadow.to) for route in table.routes for shadow in route.shadows}
        if table.upstream is not None:
            used.add(_key("", table.upstream))
        for key in [key for key in self._pools if key not in used or not same_bounds]:
            self._pools.pop(key).close()

    def mint_id(self) -> bytes:
        """A request id that no other worker and no earlier run has made."""
        self._minted += 1
        return b"%s-%08x" % (self._prefix.encode(), self._minted)

    def champion_pool(self, to: Destination) -> Pool:
        """Connections for callers' requests."""
        return self._pool("", to)

    def shadow_pool(self, shadow: Shadow) -> Pool:
        """A challenger's own connections: whatever it does to them, no caller's request waits for one."""
        return self._pool(shadow.to.version, shadow.to)

    def _pool(self, owner: str, to: Destination) -> Pool:
        key = _key(owner, to)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self._loop, to, self.bounds)
        return pool

    def tick(self) -> None:
        """Once a second: every deadline of every connection."""
        now = self._loop.time()
        for caller in [caller for caller in self.callers if caller.deadline <= now]:
            caller.expire()
        self.mirror.tick(now)
        for pool in self._pools.values():
            pool.tick(now)

    def close(self) -> None:
        """The worker stops."""
        self.mirror.end_all()
        for pool in self._pools.values():
            pool.close()


def _key(owner: str, to: Destination) -> tuple[str, str, int, str]:
    """Whose connections, and where to; a path is nothing to a connection."""
    return (owner, to.host, to.port, to.unix)
