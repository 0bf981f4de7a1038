"""Numbers and times as people read them on the dashboard.

Keeps: "not known" is a dash and never a zero; numbers are cut to what can be compared at a glance. Pure; `now` is
given. A text from elsewhere reads in the order in which it is written. Called by the dashboard's templates as filters,
`in_reading_order` for whatever they show.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

UNKNOWN = "–"
# Marks that reorder what a reader sees (Unicode UAX 9): with them whoever tags a version could spell another's name.
_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def in_reading_order(value: object) -> object:
    """Texts with such marks spelled out; everything else, markup of our own too, as it is."""
    return _REORDERING.sub(lambda mark: ascii(mark[0])[1:-1], value) if type(value) is str else value


def number(value: float | str | None) -> str:
    """`12,345`, `0.0123`, `1.2e+06`; texts stay as they are."""
    if value is None or isinstance(value, str):
        return UNKNOWN if value is None else value
    if isinstance(value, bool) or not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.2g}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def percent(share: float | None) -> str:
    """`97.3%`; near the ends with more digits, so that 99.95 % does not read as 100 %."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{share:.2%}" if share > 0.99 or share < 0.01 else f"{share:.1%}"


def milliseconds(value: float | None) -> str:
    """`3.2 ms`."""
    return UNKNOWN if value is None else f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `9 days`."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 172_800:
        hours, minutes = divmod(int(seconds // 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{int(seconds // 86_400)} days"


def moment(at_s: float) -> str:
    """`31 Jan 12:00:05 UTC`."""
    at = datetime.fromtimestamp(max(0.0, at_s), UTC)
    return f"{at.day} {at:%b %H:%M:%S} UTC"


def digest(text: str | None) -> str:
    """The first twelve hex digits of a digest, enough to compare by eye."""
    return UNKNOWN if not text else text.removeprefix("sha256:")[:12]
