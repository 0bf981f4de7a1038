"""The connections to one destination: those that idle, the making of new ones, and the heads that it answers with.

Invariant: an idle connection is closed before the model server closes it (RELIABILITY 3), and one that has something
to read, or is closing, is never used. Used by served routes and challengers, each with a pool of its own.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import select
from collections import deque
from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING, Final, cast

from sidecar.decide.routing_table import Bounds, Destination, Trust
from sidecar.proxy.upstream import Upstream

if TYPE_CHECKING:
    from sidecar.proxy.leg import ConnectionUser
    from sidecar.wire.answer_head import AnswerHead

log = logging.getLogger("sidecar.proxy.pool")

# So many different reasons why there is no connection are logged for one destination.
REASONS_SAID: Final = 16
# Answer heads that a pool remembers, and how long one may be; a header that always differs makes it forget them all.
KNOWN_HEADS: Final = 64
KNOWN_HEAD_BYTES: Final = 4_096
# A connection that idled less than this was looked at by the loop itself a moment ago.
LOOK_AFTER_S: Final = 0.01


class Pool:
    """Connections to one destination.

    Attributes:
        undecided_bytes: how long an answer's head, or the framing between two parts of its body, may be.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, to: Destination, bounds: Bounds, tls: Callable[[Trust], SSLContext]
    ) -> None:
        self._loop = loop
        self._to = to
        self._tls = tls
        self._idle_s: float = bounds.idle_upstream_s
        self._most_idle_s: float = bounds.idle_upstream_s
        self._connect_s: float = bounds.connect_s
        self.undecided_bytes: int = bounds.header_bytes
        self._idle: deque[Upstream] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._attempts: dict[asyncio.Timeout, float] = {}
        self._closed = False
        self._said: set[str] = set()
        self._known: dict[bytes, AnswerHead] = {}

    # --- heads -----------------------------------------------------------------------------------------------

    def known_answer(self, data: bytes) -> AnswerHead | None:
        """The head that begins `data`, if it was understood before and `data` is exactly its whole answer."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._known.get(data[: end + 4])
        if head is not None and head.size + cast("int", head.length) == len(data):
            return head
        return None

    def remember(self, data: bytes, head: AnswerHead | None) -> None:
        """An answer that the parser found complete in one read: the same bytes will mean the same again."""
        size = data.find(b"\r\n\r\n") + 4
        if head is None or head.length is None or not head.keep_alive or head.bodyless or head.idle_s is not None:
            return
        if size > KNOWN_HEAD_BYTES or size + head.length != len(data) or not data.startswith(b"HTTP/1.1 "):
            return
        if len(self._known) >= KNOWN_HEADS:
            self._known.clear()
        head.size = size
        self._known[data[:size]] = head

    # --- connections -----------------------------------------------------------------------------------------

    def serve(self, leg: ConnectionUser, fresh: bool = False) -> bool:
        """Calls `leg.connected` with a connection: at once (True) if one idles, else when made; or `leg.failed`."""
        now = self._loop.time()
        while self._idle and not fresh:
            upstream = self._idle.pop()
            idle_s = now - upstream.idle_since
            if (
                idle_s > self._idle_s
                or upstream.transport.is_closing()
                or (idle_s > LOOK_AFTER_S and _readable(upstream))
            ):
                upstream.close()
                continue
            upstream.reused = True
            upstream.take(leg)
            leg.connected(upstream)
            return True
        task = self._loop.create_task(self._connect(leg), name=f"connect {self._to.version}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return False

    async def _connect(self, leg: ConnectionUser) -> None:
        to, made, timeout = self._to, Upstream(self), asyncio.timeout(None)
        tls: dict[str, object] = {}
        make = cast("Callable[[], asyncio.Protocol]", lambda: made)
        try:
            if to.trust is not None:
                tls = {
                    "ssl": self._tls(to.trust),
                    "server_hostname": to.trust.server_name or to.host,
                    "ssl_shutdown_timeout": 5.0,
                }
            async with timeout:
                # Ended by `tick`: the loop's timer does not know of time in which this process stood still.
                self._attempts[timeout] = self._loop.time() + self._connect_s
                if to.unix:
                    await self._loop.create_unix_connection(make, to.unix, **tls)  # type: ignore[arg-type]
                else:
                    await self._loop.create_connection(make, to.host, to.port, **tls)  # type: ignore[call-overload]
        except (OSError, UnicodeError) as fault:  # a timeout is the one, and what TLS finds; a bad name the other
            self._say(fault)
            ours = isinstance(fault, OSError) and fault.errno in (errno.EMFILE, errno.ENFILE)
            leg.failed("exhausted" if ours else "connect", False, False)
            return
        finally:
            self._attempts.pop(timeout, None)
        made.take(leg)
        leg.connected(made)

    def _say(self, fault: Exception) -> None:
        """Each reason once: whoever looks for it finds it, and a server that is down fills no log."""
        reason = str(fault) or type(fault).__name__
        if reason in self._said or len(self._said) >= REASONS_SAID:
            return
        self._said.add(reason)
        to = self._to
        where = to.unix or f"{to.host}:{to.port}"
        log.warning("no connection", extra={"fields": {"to": where, "version": to.version, "says": reason}})

    def give_back(self, upstream: Upstream, server_idle_s: float | None = None) -> None:
        """A connection whose answer is complete serves the next leg; the server may have told how long it keeps it."""
        if self._closed:
            upstream.close()
            return
        if server_idle_s is not None:
            # What is on its way when the server's time is over would be lost: stop well before.
            self._idle_s = min(self._most_idle_s, max(server_idle_s - 1.0, server_idle_s / 2))
        upstream.idle_since = self._loop.time()
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def forgive(self, lost_s: float) -> None:
        """In this time nobody here could see that a connection was made."""
        for timeout in self._attempts:
            self._attempts[timeout] += lost_s

    def tick(self, now: float) -> None:
        """Ends attempts that take too long, as to an address that swallows packets; closes what has idled too long."""
        for timeout in [timeout for timeout, deadline in self._attempts.items() if deadline <= now]:
            del self._attempts[timeout]
            timeout.reschedule(now)
        while self._idle and self._idle[0].idle_since < now - self._idle_s:
            self._idle.popleft().close()

    def close(self) -> None:
        """The routing table names this destination no more: legs under way end, then their connections close."""
        self._closed = True
        for timeout, deadline in self._attempts.items():
            timeout.reschedule(deadline)  # no tick comes any more
        self._attempts.clear()
        while self._idle:
            self._idle.popleft().close()


def _readable(upstream: Upstream) -> bool:
    """Whether the server has sent something, or closed, and the loop has not come to it yet."""
    descriptor = upstream.transport.get_extra_info("socket").fileno()
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))
