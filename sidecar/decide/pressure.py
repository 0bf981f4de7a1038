"""How hard a worker is pressed, as one number, and what it gives up for it: shadow, capture, keep-alive, new requests.

Invariants: what is given up first comes back last; a caller's request is refused only when everything else was given
up; no challenger can press so hard that a caller notices, since full queues of the mirror alone cost copies and
nothing else. Measures nothing itself. Used by the plane once a second (after Envoy's overload manager, where each
action has a threshold on the pressure of resources).
"""

from __future__ import annotations

from math import log2
from typing import Final

# In the order in which they are given up.
SHADOW_AT: Final = 0.80
CAPTURE_AT: Final = 0.85
KEEP_ALIVE_AT: Final = 0.90
REQUESTS_AT: Final = 0.95
# Something comes back only when the pressure is this far below the threshold at which it was given up.
HYSTERESIS: Final = 0.05

# A queue that is quite full presses this hard: enough to stop copies, too little for anything else.
FULL_QUEUE: Final = 0.84
# A typical lag of the loop at which copies are given up. Each doubling is one thing more.
SHADOW_LAG_S: Final = 0.1


def pressure(resident_bytes: int, memory_bytes: int, queued_bytes: int, queue_bytes: int, lag_s: float) -> float:
    """The pressure, 0.0 to 1.0: that of the scarcest resource.

    Args:
        resident_bytes: memory that the worker holds.
        memory_bytes: how much it may hold; 0 means that nobody set a bound, and memory does not press.
        queued_bytes: what the mirror (or the link) holds; queue_bytes: how much it may; 0 for no bound.
        queue_bytes: see there.
        lag_s: how late the event loop typically is: a median over a second or so, not one long callback.
    """
    highest = 0.0
    if memory_bytes > 0:
        highest = resident_bytes / memory_bytes
    if queue_bytes > 0:
        highest = max(highest, FULL_QUEUE * min(1.0, queued_bytes / queue_bytes))
    return max(0.0, min(1.0, max(highest, _of_lag(lag_s))))


def _of_lag(lag_s: float) -> float:
    if lag_s <= SHADOW_LAG_S:
        return SHADOW_AT * lag_s / SHADOW_LAG_S
    return SHADOW_AT + (CAPTURE_AT - SHADOW_AT) * log2(lag_s / SHADOW_LAG_S)


class Sacrifices:
    """What is given up at present.

    Attributes:
        shadow: no copies are sent.
        capture: no exchanges are kept for control.
        keep_alive: a caller's connection closes after its answer, and idle ones at once.
        requests: new requests are refused with 503.
    """

    def __init__(self) -> None:
        self.shadow: bool = False
        self.capture: bool = False
        self.keep_alive: bool = False
        self.requests: bool = False

    @property
    def level(self) -> int:
        """How many things are given up, 0 to 4."""
        return self.shadow + self.capture + self.keep_alive + self.requests

    def weigh(self, pressure_now: float) -> bool:
        """Gives up, or takes back, by the present pressure. True if anything changed."""
        before = self.level
        self.shadow = _given_up(self.shadow, pressure_now, SHADOW_AT)
        self.capture = _given_up(self.capture, pressure_now, CAPTURE_AT)
        self.keep_alive = _given_up(self.keep_alive, pressure_now, KEEP_ALIVE_AT)
        self.requests = _given_up(self.requests, pressure_now, REQUESTS_AT)
        return self.level != before


def _given_up(already: bool, pressure_now: float, threshold: float) -> bool:
    return pressure_now >= (threshold - HYSTERESIS if already else threshold)
