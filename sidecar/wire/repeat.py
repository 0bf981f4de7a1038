"""When a request may be sent once more: an idle connection was closed under our hands (RELIABILITY 3). Pure.

A budget keeps repeats a small share of the traffic: a server that resets whatever it gets is not asked twice as often.
"""

from __future__ import annotations

from typing import Final

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
# A tenth of the requests, and these many a second however few there are; not used, it is not saved up for long.
SHARE: Final = 0.1
FLOOR_PER_S: Final = 10.0
MOST: Final = 100.0


def may_repeat(kind: str, reused: bool, answer_begun: bool, method: bytes, inference: bool) -> bool:
    """Whether this failure may be met with the same request on a fresh connection.

    RFC 9110 9.2.2 allows it for what is known to be safe to repeat: inference is.
    """
    stale = kind == "reset" and reused and not answer_begun
    return stale and (method in IDEMPOTENT or (inference and method == b"POST"))


class RepeatBudget:
    """How many repeats there is room for."""

    def __init__(self) -> None:
        self._left: float = FLOOR_PER_S

    def earn(self, requests: int) -> None:
        """Once a second, with the requests since the last time."""
        self._left = min(MOST, max(self._left, FLOOR_PER_S) + SHARE * requests)

    def spend(self) -> bool:
        """One repeat, if there is room."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
