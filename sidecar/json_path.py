"""Where something lies in a JSON document: `$`, `$.key`, `$['any key']`, `$.list[0]`, one behind the other.

A small part of JSONPath (RFC 9535): one place, no wildcards, no filters. Pure. Settings check a path with it once, so
that a fault gets its line and a sentence; `payload` walks the steps.
"""

from __future__ import annotations

import re

Steps = tuple[str | int, ...]

_STEP = re.compile(r"""\.([^.\[\]'"\s]+)|\[([0-9]{1,9})\]|\['([^']+)'\]|\["([^"]+)"\]""")
_MOST_STEPS = 32


def parse_path(text: str) -> Steps:
    """The steps of a path.

    Raises:
        ValueError: with a sentence.

    >>> parse_path("$.a.b[0]")
    ('a', 'b', 0)
    """
    if not text.startswith("$"):
        raise ValueError(f"{text!r}: a path begins with $, as in $.data.rows or $[0]")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{text!r}: cannot be read from {text[at:]!r} on; a step is .key, ['a key'] or [0]")
        steps.append(int(match[2]) if match[2] else match[1] or match[3] or match[4])
        at = match.end()
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{text!r}: a path has at most {_MOST_STEPS} steps")
    return tuple(steps)
