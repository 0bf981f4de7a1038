"""Stretches of time in which a deployment's input was broken: nothing that was predicted in them is evidence.

Keeps: a stretch begins when the fault began, as the alarm estimates it, not when somebody noticed; they never overlap,
and at most 64 are kept apart: the oldest two become one. Times are seconds since the epoch. Pure.
Called by: the deployment's watch.
"""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 64


class VoidStretches:
    """`spans` are (begin, end), ascending; the last one has no end while it lasts."""

    def __init__(self, spans: Iterable[tuple[float, float | None]] = ()) -> None:
        self.spans = list(spans)

    @property
    def open(self) -> bool:
        """Whether one lasts."""
        return bool(self.spans) and self.spans[-1][1] is None

    def begin(self, since: float) -> float | None:
        """The input has been broken since then; where that is news, the beginning of what is void besides.

        Nothing before the end of an earlier stretch: an alarm that comes back keeps its first beginning.
        """
        if self.open:
            began = self.spans[-1][0]
            ended = self.spans[-2][1] if len(self.spans) > 1 else None
            since = since if ended is None else max(since, ended)
            if since >= began:
                return None
            self.spans[-1] = (since, None)
            return since
        ended = self.spans[-1][1] if self.spans else None
        since = since if ended is None else max(since, ended)
        self.spans.append((since, None))
        if len(self.spans) > _MOST:
            self.spans[:2] = [(self.spans[0][0], self.spans[1][1])]
        return since

    def end(self, now: float) -> None:
        """The input is whole again."""
        if self.open:
            began = self.spans[-1][0]
            self.spans[-1] = (began, max(began, now))

    def holds(self, at: float) -> bool:
        """Whether what was predicted then is void."""
        return any(began <= at and (ended is None or at <= ended) for began, ended in reversed(self.spans))

    def seconds(self, since: float, now: float) -> float:
        """How much of the time from `since` to now is void."""
        return sum(
            max(0.0, (now if ended is None else ended) - max(began, since))
            for began, ended in self.spans
            if ended is None or ended > since
        )
