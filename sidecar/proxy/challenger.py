"""One challenger as this worker sees it: its connections, its budgets, its breaker and its counts.

Invariant: whatever it does, it holds at most `max_inflight` copies and `copy_bytes` of request bodies, and as much of
answers, for at most `timeout_s`; every copy that was due and is not sent is counted with its reason. It outlives the
routing tables that keep naming it. Made by the plane; asked by the mirror; told by its copies.
"""

from __future__ import annotations

from sidecar.decide.breaker import Breaker
from sidecar.decide.ceiling import Ceiling
from sidecar.decide.routing_table import Shadow
from sidecar.proxy.pool import Pool
from sidecar.proxy.tally import CopyCounts
from sidecar.wire.copy_head import CopyHead


class Challenger:
    """The copies to one version at one destination.

    Attributes:
        inflight: copies that are under way; `body_bytes` and `answer_bytes` are what they hold.
        counts: of the present generation; a copy keeps the counts that it began under.
    """

    def __init__(self, shadow: Shadow, pool: Pool, counts: CopyCounts) -> None:
        self.pool = pool
        self.inflight: int = 0
        self.body_bytes: int = 0
        self.answer_bytes: int = 0
        self._shadow = shadow
        self.breaker = Breaker(shadow.breaker)
        self._ceiling = Ceiling(shadow.max_per_s, shadow.ramp_s)
        self._take(shadow, counts)

    def _take(self, shadow: Shadow, counts: CopyCounts) -> None:
        to = shadow.to
        self.version: str = to.version
        self.fraction: float = shadow.fraction
        self.timeout_s: float = shadow.timeout_s
        self.counts = counts
        self.head = CopyHead(to.path, to.authority, to.version, shadow.headers)
        self._enabled: bool = shadow.enabled
        self._max_inflight: int = shadow.max_inflight
        self._copy_bytes: int = shadow.copy_bytes
        counts.breaker = self.breaker

    def obey(self, shadow: Shadow, pool: Pool, counts: CopyCounts) -> None:
        """A new routing table: the same challenger under settings that may have changed."""
        self.pool = pool
        before, self._shadow = self._shadow, shadow
        if before.breaker != shadow.breaker:
            self.breaker = Breaker(shadow.breaker, self.breaker.epoch + 1)
        if (before.max_per_s, before.ramp_s) != (shadow.max_per_s, shadow.ramp_s):
            self._ceiling = Ceiling(shadow.max_per_s, shadow.ramp_s)
        self._take(shadow, counts)

    def why_not(self, now: float, size: int) -> str | None:
        """Why it gets no copy of `size` bytes now; None if it gets one, which is then taken to have been allowed."""
        if not self._enabled:
            return "disabled"
        breaker = self.breaker
        if not breaker.allows(now):
            return "breaker_open"
        reason: str | None = None
        if self.inflight >= breaker.window(self._max_inflight):
            reason = "inflight_limit"
        elif self.body_bytes > 0 and self.body_bytes + size > self._copy_bytes:
            reason = "bytes_full"
        elif not self._ceiling.allows(now):
            reason = "rate_limit"
        if reason is not None:
            breaker.gave_up(breaker.epoch)
        return reason

    def takes_callers(self, now: float) -> bool:
        """Whether it may be asked for a caller's answer now; what it gets is then taken to have been allowed."""
        breaker = self.breaker
        if not self._enabled or not breaker.allows(now):
            return False
        if self.inflight >= breaker.window(self._max_inflight):
            breaker.gave_up(breaker.epoch)
            return False
        return True

    def begin(self, size: int) -> None:
        """A copy begins."""
        self.inflight += 1
        self.body_bytes += size

    def grant(self, size: int, answer_limit: int) -> bool:
        """Room for more of its unfinished answers; one answer of the largest size always finds it."""
        if self.answer_bytes + size > max(answer_limit, self._copy_bytes):
            return False
        self.answer_bytes += size
        return True

    def end(self, size: int, granted: int) -> None:
        """A copy ended: gives back what it held."""
        self.inflight -= 1
        self.body_bytes -= size
        self.answer_bytes -= granted

    # --- what its copies tell of its health ------------------------------------------------------------------

    def well(self, epoch: int, now: float) -> None:
        """It answered, whatever it said."""
        if self.breaker.succeeded(epoch):
            self._ceiling.start(now)

    def sick(self, epoch: int, now: float) -> None:
        """It did not answer, or not intelligibly."""
        self.breaker.failed(epoch, now)

    def untold(self, epoch: int) -> None:
        """The copy was never sent, for a reason that says nothing of it."""
        self.breaker.gave_up(epoch)
