"""How a challenger is, from what became of its last copies and from what its breaker says.

Keeps: it fades, so that about the last ten seconds count; paused is what the workers' breakers say, and one open
breaker is enough, since another worker's copies fare no better. Pure: counters in, one word out.
Does not: raise alarms, judge for a promotion (the gates do). Called by the deployment's watch, one per challenger.
"""

from __future__ import annotations

from sidecar.reports import Copies
from sidecar.standing import Health

_FADING = 0.9  # per frame of counters, one a second
_WORKERS = 256  # breakers that are remembered; more than that belong to workers that died long ago
_UNREACHED = ("connect_error", "timeout")  # among the reasons for copies that were never sent


class ChallengerHealth:
    """One challenger's last copies."""

    def __init__(self) -> None:
        self._ok = 0.0
        self._failed = 0.0
        self._unreached = 0.0
        self._breakers: dict[str, str] = {}

    def fold(self, delta: Copies) -> None:
        """Copies since the last call, of one worker."""
        unreached = sum(delta.dropped.get(reason, 0) for reason in _UNREACHED) + delta.errors.get("connect", 0)
        failed = sum(delta.errors.values()) + sum(delta.dropped.get(reason, 0) for reason in _UNREACHED)
        self._ok = _FADING * self._ok + max(0, delta.answered - failed)
        self._failed = _FADING * self._failed + failed
        self._unreached = _FADING * self._unreached + unreached

    def breaker(self, worker: str, state: str) -> None:
        """A worker's breaker: closed, open or probing; empty where it does not tell."""
        self._breakers.pop(worker, None)
        if state in ("open", "probing"):
            self._breakers[worker] = state
            if len(self._breakers) > _WORKERS:
                del self._breakers[next(iter(self._breakers))]

    def left(self, worker: str) -> None:
        """A worker is gone, and its breaker with it."""
        self._breakers.pop(worker, None)

    @property
    def health(self) -> Health:
        """In one word."""
        if self._breakers:
            return "paused"
        if self._ok + self._failed < 0.5:
            return "unknown"
        if self._failed <= self._ok:
            return "healthy"
        return "unreachable" if self._unreached > self._failed / 2 else "failing"
