"""What all connections of one worker share: routes, mirror, counters, and the one coarse tick.

The table is swapped by reference between two callbacks, so a request sees one table from its first byte to its last.
A challenger's breaker, budgets and connections outlive every table that goes on naming it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING

from sidecar.decide.pressure import Sacrifices
from sidecar.decide.router import Router
from sidecar.decide.routing_table import Bounds, CanaryRoute, Destination, Route, RoutingTable, Shadow, Trust, copied
from sidecar.proxy.access_log import AccessLog
from sidecar.proxy.canary import Canary
from sidecar.proxy.challenger import Challenger
from sidecar.proxy.known_requests import KnownRequests
from sidecar.proxy.mirror import Mirror
from sidecar.proxy.pool import Pool
from sidecar.proxy.rescue import Rescue
from sidecar.proxy.served_route import ServedRoute
from sidecar.proxy.tally import Tally
from sidecar.records import Exchange
from sidecar.wire.repeat import RepeatBudget
from sidecar.wire.trace_context import SpanIds, TraceContext, begin

if TYPE_CHECKING:
    from sidecar.proxy.listener import Caller

# What a pool's connections belong to: "" for callers' requests, else deployment and version of a challenger; and where.
PoolKey = tuple[str, Destination]


class Plane:
    """The shared state of one proxy worker.

    Attributes:
        control_up: whether exchanges can be offered at all; `control_reads` whether it takes them. Set by the link.
        offer: hands a finished exchange to the link; never blocks.
        tls_of: makes (or remembers) the context to speak TLS with.
        access_log: where requests are logged, if anywhere.
        sacrifices: what is given up under pressure, weighed once a second by the worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: str, table: RoutingTable) -> None:
        self._loop = loop
        self._pools: dict[PoolKey, Pool] = {}
        self._challengers: dict[tuple[str, Destination], Challenger] = {}
        self._prefix: bytes = secrets.token_hex(8).encode()
        self._minted: int = 0
        self._ended: int = 0
        self._traced: float = 0.0
        self._router: Router[ServedRoute]
        self._upstream: ServedRoute | None = None
        self.tally = Tally(worker)
        self.mirror = Mirror(self)
        self.rescue = Rescue(self)
        self.callers: set[Caller] = set()
        self.known_requests = KnownRequests()
        self.repeats = RepeatBudget()
        self.span_ids = SpanIds(os.urandom)
        self.sacrifices = Sacrifices()
        self.draining: bool = False
        self.control_up: bool = False
        self.control_reads: bool = True
        self.access_log: AccessLog | None = None
        self.offer: Callable[[Exchange], None] = lambda _exchange: None
        self.tls_of: Callable[[Trust], SSLContext] | None = None
        self.bounds: Bounds = table.bounds
        self.swap(table)

    def log_to(self, log: AccessLog) -> None:
        """Logs requests from now on, as far as the routing table asks for it."""
        log.adapt(self.table.access_log)
        self.access_log = log
        self.tally.access_log_dropped = log.dropped

    def now(self) -> float:
        """The loop's monotonic clock, in seconds."""
        return self._loop.time()

    @property
    def closing(self) -> bool:
        """True while no caller's connection lives on after its answer."""
        return self.draining or self.sacrifices.keep_alive

    # --- routes ----------------------------------------------------------------------------------------------

    def swap(self, table: RoutingTable) -> None:
        """From the next request on, route by this table. Requests in flight end where they began."""
        before = self._pools
        kept = before if self.bounds == table.bounds else {}
        self.table = table
        self.bounds = bounds = table.bounds
        # The bounds that every request meets, as plain numbers.
        self.body_bytes: int = bounds.body_bytes
        self.mirror_bytes: int = bounds.mirror_bytes
        self.mirror_body_bytes: int = bounds.mirror_body_bytes
        self.answer_s: float = bounds.answer_s
        self.idle_client_s: float = bounds.idle_client_s
        self._traced = table.trace
        self._pools = {}
        challengers = self._challengers
        self._challengers = {}
        self._router = Router([(route, self._served(route, kept, challengers)) for route in table.routes])
        self._upstream = self._served_upstream(table, kept)
        self.known_requests.forget(bounds.header_bytes)
        if self.access_log is not None:
            self.access_log.adapt(table.access_log)
        for key, pool in before.items():
            if self._pools.get(key) is not pool:
                pool.close()

    def route(self, path: bytes) -> ServedRoute | None:
        """The route of a path without its query: a deployment's, else the upstream's, else None."""
        found = self._router.find(path)
        return self._upstream if found is None else found

    def _served(
        self, route: Route, kept: dict[PoolKey, Pool], before: dict[tuple[str, Destination], Challenger]
    ) -> ServedRoute:
        challengers = [self._challenger(route, shadow, kept, before) for shadow in route.shadows]
        served = self._served_by(route, route.champion, challengers, kept)
        if route.canary is not None:
            self._set_canary(route, route.canary, served, kept, before)
        return served

    def _served_by(
        self, route: Route, champion: Destination, challengers: list[Challenger], kept: dict[PoolKey, Pool]
    ) -> ServedRoute:
        return ServedRoute(
            route.deployment,
            route.generation,
            champion,
            self._pool("", champion, kept),
            challengers,
            self.tally.requests(route.deployment, champion.version),
            route.sticky,
            route.upgrades,
            route.unserved,
            {"oip": b"", "auto": b"/v2/"}.get(route.protocol),
        )

    def _set_canary(
        self,
        route: Route,
        canary: CanaryRoute,
        served: ServedRoute,
        kept: dict[PoolKey, Pool],
        before: dict[tuple[str, Destination], Challenger],
    ) -> None:
        """A second way to serve the route: by one of its challengers, with the champion's copies beside the others'."""
        for challenger, shadow in zip(served.challengers, route.shadows, strict=True):
            if shadow.to.version == canary.version:
                others = [each for each in served.challengers if each is not challenger]
                own = self._served_by(route, shadow.to, others, kept)
                champion = self._challenger(route, canary.champion, kept, before, canary)
                served.canary = Canary(served, own, challenger, champion, canary.weight, canary.salt, canary.step_since)

    def _served_upstream(self, table: RoutingTable, kept: dict[PoolKey, Pool]) -> ServedRoute | None:
        to = table.upstream
        if to is None:
            return None
        return ServedRoute("", 0, to, self._pool("", to, kept), [], self.tally.requests("", ""), "", table.upgrades)

    def _challenger(
        self,
        route: Route,
        shadow: Shadow,
        kept: dict[PoolKey, Pool],
        before: dict[tuple[str, Destination], Challenger],
        beside: CanaryRoute | None = None,
    ) -> Challenger:
        """A challenger's own connections: whatever it does to them, no caller's request waits for one.

        `beside`: who answers where the champion does not.
        """
        pool = self._pool(f"{route.deployment} {shadow.to.version}", shadow.to, kept)
        served, step_since = (route.champion.version, 0.0) if beside is None else (beside.version, beside.step_since)
        counts = self.tally.copies(route.deployment, route.generation, served, shadow.to.version, step_since)
        key = (route.deployment, shadow.to)
        challenger = before.get(key)
        if challenger is None:
            challenger = Challenger(shadow, pool, counts)
        else:
            challenger.obey(shadow, pool, counts)
        self._challengers[key] = challenger
        return challenger

    def _pool(self, owner: str, to: Destination, kept: dict[PoolKey, Pool]) -> Pool:
        # A version and a path are nothing to a connection.
        key = (owner, Destination("", to.host, to.port, to.unix, None, to.trust))
        pool = self._pools.get(key) or kept.get(key)
        if pool is None:
            pool = Pool(self._loop, to, self.bounds, self.context)
        self._pools[key] = pool
        return pool

    def context(self, trust: Trust) -> SSLContext:
        """The context to speak TLS with; a worker gives the means when it starts."""
        if self.tls_of is None:
            raise OSError("no TLS here")
        return self.tls_of(trust)

    # --- requests --------------------------------------------------------------------------------------------

    def mint_id(self) -> bytes:
        """A request id that no other worker and no earlier run has made."""
        self._minted += 1
        return b"%s-%08x" % (self._prefix, self._minted)

    def begun_trace(self, request_id: bytes) -> TraceContext | None:
        """The trace of a request that names none, if it is one of those that begin one."""
        if self._traced <= 0.0 or not copied(request_id, self._traced):
            return None
        return begin(self.span_ids)

    def ended(self, route: ServedRoute | None, is_copy: bool, status: int, duration_s: float) -> None:
        """A request ended, and its caller has the answer, if any."""
        self._ended += 1
        if route is None:
            self.tally.unrouted(status, duration_s)
        elif is_copy:
            self.tally.received_copy(route.deployment)
        else:
            route.ended(status, duration_s)

    # --- time ------------------------------------------------------------------------------------------------

    def count_closed(self) -> None:
        """A caller's connection is closed that would live on: for the pressure, or because the worker stops."""
        if self.sacrifices.keep_alive and not self.draining:
            self.tally.sacrificed["keep_alive"] += 1

    def weigh(self, pressure_now: float) -> None:
        """Gives up, or takes back, what the present pressure asks for."""
        self.tally.pressure = pressure_now
        if self.sacrifices.weigh(pressure_now) and self.sacrifices.keep_alive:
            for caller in list(self.callers):
                caller.drain()

    def forgive(self, lost_s: float) -> None:
        """Whoever was waited for in that time may have done his part, and nobody here could look: he has it again."""
        for caller in self.callers:
            caller.deadline += lost_s
        for leg in self.mirror.legs:
            leg.deadline += lost_s
        for pool in self._pools.values():
            pool.forgive(lost_s)

    def tick(self) -> None:
        """Once a second: every deadline of every connection."""
        now = self._loop.time()
        for caller in [caller for caller in self.callers if caller.deadline <= now]:
            caller.expire()
        if self.bounds.body_bytes_per_s:
            for caller in list(self.callers):
                caller.look_at_rate(now)
        self.mirror.tick(now)
        for pool in self._pools.values():
            pool.tick(now)
        self.repeats.earn(self._ended)
        self._ended = 0

    def close(self) -> None:
        """The worker stops."""
        self.mirror.end_all()
        for pool in self._pools.values():
            pool.close()
