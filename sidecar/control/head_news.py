"""Tells the audit trail's head about once a day, so that whoever receives events keeps it elsewhere.

Keeps: a head that was told is not told again; one that did not grow is no news. Called by the rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sidecar.control.announcer import Announcer
from sidecar.control.store import Store
from sidecar.standing import Event

EVERY_S = 86_400.0


class HeadNews:
    """Looks at its own pace, whoever calls how often."""

    def __init__(self, store: Store, announcer: Announcer, clock: Callable[[], float]) -> None:
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._told_at: float | None = None
        self._told_seq = 0

    def look(self) -> None:
        """Announces the head where it is time and it grew."""
        now = self._clock()
        if self._told_at is not None and 0.0 <= now - self._told_at < EVERY_S:
            return
        self._told_at = now
        head = self._store.signed_head(now)
        if head.seq <= self._told_seq:
            return
        self._told_seq = head.seq
        self._announcer.announce(
            Event(
                type="sidecar.audit.head",
                deployment="",
                at=now,
                says=f"the audit trail has {head.seq} entries",
                id=f"head-{head.seq}-{head.hash.removeprefix('sha256:')[:16]}",
                data=msgspec.structs.asdict(head),
            )
        )
