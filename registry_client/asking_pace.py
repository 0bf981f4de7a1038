"""When something that failed is asked again: later after each failure, sooner again with each answer.

Invariant: between a failure and the end of its pause nothing is due; a clock that was set back ends the pause. A
single answer does not make up for a row of failures, so that what flaps is asked seldom. Pure: it is handed `now`, in
seconds. Called by the cache.
"""

from __future__ import annotations

# With it ten answers or so make up for the last failure's doubling.
_RECOVERY = 0.93


class AskingPace:
    """Pauses from `first_s` to `most_s`.

    >>> pace = AskingPace(5.0, 30.0)
    >>> pace.failed(now=100.0)
    >>> pace.due(now=104.9), pace.due(now=105.0), pace.due(now=99.0)
    (False, True, True)
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._pause_s = first_s
        self._next_s = first_s
        self._failed_at: float | None = None

    def due(self, now: float) -> bool:
        """Whether it may be asked."""
        return self._failed_at is None or not self._failed_at <= now < self._failed_at + self._pause_s

    def failed(self, now: float) -> None:
        """It was asked and failed."""
        self._failed_at = now
        self._pause_s = self._next_s
        self._next_s = min(2 * self._next_s, self._most_s)

    def answered(self) -> None:
        """It was asked and answered."""
        self._failed_at = None
        self._next_s = max(self._first_s, _RECOVERY * self._next_s)
