"""How often somebody may be wrong about a token: a few times at once, then seldom.

Keeps: counted by where a call comes from (an IPv6 network of 64 bits is one place), in bounded memory; whoever has used
up the tries is refused before the token is looked at, so that a right guess is not told from a wrong one. It ends by
itself. Does not: count calls without a token, which guess nothing.
Called by: `auth`.
"""

from __future__ import annotations

import ipaddress
import math

# A person mistypes; a program with an old token repeats it. A guesser has 1,200 tries an hour of some 2^128.
TRIES = 20
TRY_AGAIN_S = 3.0
_PLACES = 4_096


class Guesses:
    """What is left to each place. Times are seconds of a clock that only goes on."""

    def __init__(self) -> None:
        # place -> (tries left at that time, time), the place that was wrong longest ago first.
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, source: str | None, now: float) -> int:
        """Whole seconds until this place may try again; 0 when it may now."""
        left = self._now(_place(source), now)
        return 0 if left >= 1.0 else math.ceil((1.0 - left) * TRY_AGAIN_S)

    def wrong(self, source: str | None, now: float) -> bool:
        """One try is used up; True where it was the last."""
        place = _place(source)
        left = self._now(place, now) - 1.0
        self._left.pop(place, None)
        self._left[place] = left, now
        if len(self._left) > _PLACES:
            del self._left[next(iter(self._left))]
        return left < 1.0

    def _now(self, place: str, now: float) -> float:
        left, at = self._left.get(place, (float(TRIES), now))
        return min(float(TRIES), left + (now - at) / TRY_AGAIN_S)


def _place(source: str | None) -> str:
    """One name for whoever shares an address; callers by a Unix socket have none and share one."""
    try:
        address = ipaddress.ip_address((source or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
