"""Header lines as they are kept between a read and a write: name, colon, value and line end, one behind the other.

Used by `request_head` and `answer_head`.
"""

from __future__ import annotations


def rewrite(lines: list[bytes], name: bytes, value: bytes) -> None:
    """Another value for every line of this lower-case name, where it stands."""
    for at in range(0, len(lines), 4):
        if lines[at].lower() == name:
            lines[at + 2] = value


def without(lines: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    """Header lines (name, colon, value, end, ...) without those whose lower-case name is in `names`."""
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        if lines[at].lower() not in names:
            kept += lines[at : at + 4]
    return kept
