"""A ceiling on the copies per second that one challenger gets from one worker, with a ramp after a start.

Invariant: over any span of time no more copies than the burst plus what the rate allows; the rate rises in a straight
line from a tenth to the whole over `ramp_s` after `start`, so neither a start nor a recovery meets a herd (M15). What
is not used is not saved up: a burst is at most what 100 ms allow, and at least one copy. A token bucket that knows no
clock: `now` is monotonic seconds. Used by the mirror, one for each challenger.
"""

from __future__ import annotations

from typing import Final

BURST_S: Final = 0.1
FIRST_SHARE: Final = 0.1


class Ceiling:
    """A token bucket whose rate ramps up. `max_per_s` of 0.0 is no ceiling."""

    def __init__(self, max_per_s: float, ramp_s: float) -> None:
        self._max_per_s: float = max_per_s
        self._ramp_s: float = ramp_s
        self._started: bool = False
        self._started_at: float = 0.0
        self._counted_at: float = 0.0
        self._rate_per_s: float = 0.0  # at _counted_at
        self._tokens: float = 0.0

    def start(self, now: float) -> None:
        """Begins the ramp: at the first copy, or when a challenger has recovered."""
        self._started = True
        self._started_at = now
        self._counted_at = now
        self._rate_per_s = self.rate_per_s(now)
        self._tokens = _burst(self._rate_per_s)

    def rate_per_s(self, now: float) -> float:
        """What the ceiling stands at, in copies per second."""
        since_s = now - self._started_at
        if since_s >= self._ramp_s:
            return self._max_per_s
        return self._max_per_s * (FIRST_SHARE + (1.0 - FIRST_SHARE) * max(0.0, since_s) / self._ramp_s)

    def allows(self, now: float) -> bool:
        """Whether one more copy may be sent, which is then counted."""
        if self._max_per_s <= 0.0:
            return True
        if not self._started:
            self.start(now)
        elapsed_s = now - self._counted_at
        if elapsed_s > 0.0:
            rate_per_s = self.rate_per_s(now)
            # The mean of both ends is exact along the ramp, and across its end a little less than due, never more.
            tokens = self._tokens + elapsed_s * (self._rate_per_s + rate_per_s) * 0.5
            self._tokens = min(tokens, _burst(rate_per_s))
            self._rate_per_s = rate_per_s
            self._counted_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _burst(rate_per_s: float) -> float:
    return max(1.0, rate_per_s * BURST_S)
