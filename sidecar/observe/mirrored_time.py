"""For how long copies flowed: the union of the spans between mirrored exchanges.

Invariant: time without copies does not count (a gap of more than 60 s ends a span), time that two replicas mirrored
at once counts once, and the order of exchanges and merges does not matter. Bounded: the oldest spans become a sum
once there are many. It reads no clock; exchanges bring their time. Used by the comparison observer.
"""

from __future__ import annotations

import msgspec

LONGEST_GAP_S = 60.0
_MOST_SPANS = 10_000


class MirroredTime(msgspec.Struct):
    """Spans (start, end) in seconds since the epoch, ascending, more than LONGEST_GAP_S apart; `settled_s` before them.

    >>> time = MirroredTime()
    >>> for at in (0.0, 30.0, 500.0, 510.0):
    ...     time.add(at)
    >>> time.seconds
    40.0
    """

    spans: list[tuple[float, float]] = []
    settled_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds in which copies flowed."""
        return self.settled_s + sum(end - start for start, end in self.spans)

    def add(self, at: float) -> None:
        """One mirrored exchange."""
        start, end = self.spans[-1] if self.spans else (at, at)
        if start <= at <= end + LONGEST_GAP_S:
            self.spans[-1:] = [(start, max(end, at))]
        elif at > end:
            self.spans.append((at, at))
            self._settle()
        else:  # out of order by more than a span: rare
            self._unite([(at, at)])

    def merge(self, other: MirroredTime) -> None:
        """The union with another one, which stays as it is."""
        self.settled_s += other.settled_s
        self._unite(other.spans)

    def _unite(self, spans: list[tuple[float, float]]) -> None:
        united: list[tuple[float, float]] = []
        for start, end in sorted([*self.spans, *spans]):
            if united and start <= united[-1][1] + LONGEST_GAP_S:
                united[-1] = (united[-1][0], max(united[-1][1], end))
            else:
                united.append((start, end))
        self.spans = united
        self._settle()

    def _settle(self) -> None:
        if len(self.spans) > _MOST_SPANS:
            oldest = self.spans[: _MOST_SPANS // 2]
            self.settled_s += sum(end - start for start, end in oldest)
            self.spans = self.spans[_MOST_SPANS // 2 :]
