"""What is told of the watch over a new champion. Frozen; times are seconds since the epoch."""

from __future__ import annotations

from typing import Literal

import msgspec


class WatchTest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the tests whether a new champion does harm, so far.

    `new_only`, `former_only`: requests that just one failed, or rows on which just one was wrong; `same`: the others.
    It has enough when `e_value` reaches `needed`.
    """

    name: str
    new_only: int
    former_only: int
    same: int
    margin: float
    e_value: float
    needed: float


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a new champion is watched. `rollback`: "auto" where the sidecar goes back to `former` by itself, once.

    `excused`: a `data.broken` alarm is open, so nothing is judged.
    """

    until: float
    former: str | None
    rollback: Literal["auto", "off"]
    excused: bool
    tests: tuple[WatchTest, ...]
