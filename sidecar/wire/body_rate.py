"""How long a request's body may take: a flat limit, and where a least rate is set, as long as what came has earned.

A slow caller holds a connection to the champion. One that keeps up the rate may use the whole time, one that drips
is let go soon. Used by `proxy`, which has the clock.
"""

from __future__ import annotations

from typing import Final

# What every body has, however little came of it: a pause of the network is no attack.
GRACE_S: Final = 5.0


def allowed_s(received_bytes: int, bytes_per_s: int, body_s: float) -> float:
    """Seconds that a body may have taken when so much of it came; `bytes_per_s` of 0 asks for no rate."""
    if bytes_per_s <= 0:
        return body_s
    return min(body_s, GRACE_S + received_bytes / bytes_per_s)
