"""A challenger's circuit breaker: after failures in a row it gets no copies for a while, then one probe at a time.

Invariants: never two probes at once; what was sent before the breaker last changed no longer moves it; it is open
for `open_s`, doubled each time it opens again before it has held, never above `max_open_s`. In-flight copies start
small after a start or a recovery (slow start), so a challenger that comes back meets no herd. What counts as a
failure is the caller's matter. Knows no clock: `now` is monotonic seconds. Used by the mirror, one for each challenger.
"""

from __future__ import annotations

from typing import Final

from sidecar.decide.routing_table import BreakerPolicy

# Copies in flight that a challenger gets at first; each success allows one more, which doubles it each round trip.
SLOW_START: Final = 8

_CLOSED: Final = 0
_OPEN: Final = 1
_PROBING: Final = 2
_NAMES: Final = ("closed", "open", "probing")


class Breaker:
    """One challenger's breaker.

    A copy that `allows` let through notes `epoch` and hands it back when it ends, exactly once: `succeeded`, `failed`,
    or `gave_up` if it was never sent. The epoch changes with every state, so a late end of an old copy is ignored, and
    in the state `probing` only the probe itself has the present one. A breaker that replaces another under a new
    policy goes on from the other's epoch.
    """

    def __init__(self, policy: BreakerPolicy, epoch: int = 0) -> None:
        self.epoch: int = epoch
        self._failures_allowed: int = max(1, policy.failures)
        self._least_open_s: float = policy.open_s
        self._most_open_s: float = max(policy.open_s, policy.max_open_s)
        self._state: int = _CLOSED
        self._failures: int = 0
        self._window: int = SLOW_START
        self._open_s: float = 0.0  # how long it is, or was last, open; 0.0: it never was
        self._opened_at: float = 0.0
        self._probed_at: float = 0.0
        self._allowed_at: float = 0.0
        self._good_at: float = 0.0

    @property
    def state(self) -> str:
        """closed, open or probing."""
        return _NAMES[self._state]

    @property
    def open_s(self) -> float:
        """For how long it opened last; 0.0 if it never did."""
        return self._open_s

    def allows(self, now: float) -> bool:
        """Whether a copy may be sent. True while open means: this copy is the probe."""
        if self._state == _CLOSED:
            self._allowed_at = now
            return True
        if self._state == _OPEN and now - self._opened_at >= self._open_s:
            self._become(_PROBING)
            self._probed_at = now
            self._allowed_at = now
            return True
        return False

    def window(self, max_inflight: int) -> int:
        """How many copies may be in flight now; `max_inflight` once the challenger has shown that it takes them."""
        return min(self._window, max_inflight)

    def succeeded(self, epoch: int) -> bool:
        """A copy was answered. True if that was the probe, and the challenger gets copies again."""
        if epoch != self.epoch:
            return False
        self._failures = 0
        self._good_at = self._allowed_at
        if self._state == _CLOSED:
            self._window += 1
            return False
        self._become(_CLOSED)
        self._window = SLOW_START
        return True

    def failed(self, epoch: int, now: float) -> bool:
        """A copy was not answered, or not intelligibly. True if that opened the breaker (again)."""
        if epoch != self.epoch:
            return False
        self._failures += 1
        if self._state == _CLOSED and self._failures < self._failures_allowed:
            return False
        self._open(now)
        return True

    def gave_up(self, epoch: int) -> None:
        """A copy was never sent, for a reason that says nothing of the challenger."""
        if epoch == self.epoch and self._state == _PROBING:
            self._become(_OPEN)  # its time has passed: the next copy is the probe

    def _open(self, now: float) -> None:
        # It has held if answers came for as long as it had been open. Copies that hang prove nothing by hanging.
        held = self._state == _CLOSED and self._good_at - self._probed_at >= self._open_s
        if self._open_s == 0.0 or held:
            self._open_s = self._least_open_s
        else:
            self._open_s = min(self._open_s * 2.0, self._most_open_s)
        self._opened_at = now
        self._failures = 0
        self._become(_OPEN)

    def _become(self, state: int) -> None:
        self._state = state
        self.epoch += 1
