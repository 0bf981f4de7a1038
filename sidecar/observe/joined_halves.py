"""Requests and answers that a payload logger sends apart, joined by their id.

Invariant: each half that was taken is counted exactly once: joined, duplicate, alone or evicted, or it still waits;
what waits is bounded in number, bytes and age, and a half is never joined twice. The first of two alike stays.
Does not: read bodies, know deployments' settings, or look at a clock. Called by `control/ingest`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sidecar.records import LoggedHalf

MOST_WAITING = 10_000
MOST_WAITING_BYTES = 64 << 20
# A logger sends the answer's half when the model has answered, and its own queue may be behind.
AGE_S = 120.0
# Ids that were joined lately: events come at least once, and a repeated half must not wait for nobody.
MOST_REMEMBERED = 65_536

# What becomes of a half. A closed set: each has a series from the start.
RESULTS = ("joined", "duplicate", "request_alone", "response_alone", "evicted")

Key = tuple[str, str, str, str]


class Pair(NamedTuple):
    """Both halves of one exchange."""

    request: LoggedHalf
    response: LoggedHalf


class _Waiting(NamedTuple):
    half: LoggedHalf
    since: float


class JoinedHalves:
    """The buffer. `counts` says by deployment what became of halves."""

    def __init__(
        self,
        *,
        most: int = MOST_WAITING,
        most_bytes: int = MOST_WAITING_BYTES,
        age_s: float = AGE_S,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._most, self._most_bytes, self._age_s, self._most_remembered = most, most_bytes, age_s, most_remembered
        # Both in the order of arrival, so that the oldest stand in front.
        self._waiting: OrderedDict[Key, _Waiting] = OrderedDict()
        self._joined: OrderedDict[Key, float] = OrderedDict()
        self.waiting_bytes = 0
        self.counts: Mapping[str, Counter[str]] = defaultdict(Counter)

    @property
    def waiting(self) -> int:
        """Halves whose other half did not come yet."""
        return len(self._waiting)

    def add(self, deployment: str, half: LoggedHalf, now: float) -> Pair | None:
        """One half; the pair if the other one was here. `now` in seconds since the epoch.

        >>> halves = JoinedHalves()
        >>> asked = LoggedHalf("request", "a", ("fraud",), "", "", None, "", "", b"1")
        >>> said = LoggedHalf("response", "a", ("fraud",), "", "", None, "", "", b"2")
        >>> halves.add("fraud", said, 0.0) is None
        True
        >>> halves.add("fraud", asked, 0.0).response.body
        b'2'
        """
        self.expire(now)
        counts, key = self.counts[deployment], (deployment, half.endpoint, half.origin, half.id)
        other = self._waiting.get(key)
        if key in self._joined or (other is not None and other.half.side == half.side):
            counts["duplicate"] += 1
            return None
        if other is None:
            self._waiting[key] = _Waiting(half, now)
            self.waiting_bytes += len(half.body)
            self._make_room()
            return None
        self._forget(key)
        counts["joined"] += 2
        self._joined[key] = now
        if len(self._joined) > self._most_remembered:
            self._joined.popitem(last=False)
        return Pair(half, other.half) if half.side == "request" else Pair(other.half, half)

    def expire(self, now: float) -> None:
        """Gives up the halves that waited for too long, and forgets the ids of old pairs."""
        until = now - self._age_s
        while self._waiting:
            key, (half, since) = next(iter(self._waiting.items()))
            if since > until:
                break
            self._forget(key)
            self.counts[key[0]][f"{half.side}_alone"] += 1
        while self._joined and next(iter(self._joined.values())) <= until:
            self._joined.popitem(last=False)

    def _make_room(self) -> None:
        """The oldest give way: halves that meet do so within moments, so an old one has most likely lost its other."""
        while self._waiting and (len(self._waiting) > self._most or self.waiting_bytes > self._most_bytes):
            key = next(iter(self._waiting))
            self._forget(key)
            self.counts[key[0]]["evicted"] += 1

    def _forget(self, key: Key) -> None:
        self.waiting_bytes -= len(self._waiting.pop(key).half.body)
