"""Transitions on their way into the store, and what becomes of a rollback that the store cannot take.

Keeps: a rollback is never refused for want of a disk. A full one gets the reserve back; where nothing can be written
at all the rollback is held (`unrecorded`), its callers are served, and it is written, in order and before anything
newer, when the store is there again. Every other transition is refused meanwhile. Does not: publish, or decide what a
rollback is. Called by: `controller`, with the deployment's turn.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import msgspec

from sidecar.control.reserve import Reserve
from sidecar.control.store import Store
from sidecar.control.unrecorded import Transit, Unrecorded
from sidecar.errors import Refused, Unavailable

log = logging.getLogger("sidecar.control.recording")


class Recording:
    """The store with its reserve, and what waits for it."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        reserve: Reserve | None = None,
        unrecorded: Unrecorded | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self.reserve = reserve
        self._reserving = asyncio.Lock()
        self.unrecorded = unrecorded if unrecorded is not None else Unrecorded()

    async def write(self, transit: Transit) -> int:
        """The transition's number in the trail. Raises Refused, Unavailable: then nothing of it is written."""
        await self.catch_up(transit.state.deployment)
        return await self._put(transit)

    async def write_or_hold(self, transit: Transit) -> int | None:
        """As `write`, but whatever the disk says it is done; None where it is held for now. Raises Refused."""
        try:
            return await self._write_or_find(transit)
        except Unavailable as error:
            fault = error
        if await self._give_back():
            try:
                return await self._write_or_find(transit)
            except Unavailable as error:
                fault = error
        self.unrecorded.hold(transit)
        fields = {"deployment": transit.state.deployment, "says": str(fault)}
        log.error("a rollback is done and not recorded", extra={"fields": fields})
        return None

    async def catch_up(self, name: str) -> None:
        """Writes what is held of a deployment, oldest first. Raises Unavailable."""
        for transit in self.unrecorded.of(name):
            try:
                seq = await self._put_or_find(self._as_of_now(transit))
            except Unavailable as error:
                raise Unavailable(f"{self.unrecorded.says(name)} ({error})") from error
            self.unrecorded.recorded(transit)
            log.info("a rollback was recorded late", extra={"fields": {"deployment": name, "audit_seq": seq}})

    async def replenish(self) -> None:
        """Takes the reserve up again, as far as there is room. Never raises; who wants it meanwhile waits."""
        async with self._reserving:
            if self.reserve is not None and not self.reserve.whole:
                await asyncio.to_thread(self.reserve.refill)

    async def _give_back(self) -> bool:
        async with self._reserving:
            return self.reserve is not None and await asyncio.to_thread(self.reserve.give_back)

    def held_back(self) -> bool:
        """Whether whoever else writes to this disk should wait: what is free now is for a rollback."""
        return self.reserve is not None and self.reserve.spent

    async def _write_or_find(self, transit: Transit) -> int | None:
        await self.catch_up(transit.state.deployment)
        return await self._put_or_find(transit)

    async def _put_or_find(self, transit: Transit) -> int | None:
        """A commit that was called failed can be on disk all the same: then it is not written a second time."""
        try:
            return await self._put(transit)
        except Refused:
            name = transit.state.deployment
            if (await self._store.states()).get(name) != transit.state:
                raise
            there = await self._store.newest(name, transit.deed.action)
            return None if there is None else there.seq

    async def _put(self, transit: Transit) -> int:
        entry = await self._store.transition(
            transit.state,
            expected_generation=transit.expected_generation,
            deed=transit.deed,
            deliveries=transit.deliveries,
            receipt=transit.receipt,
        )
        return entry.seq

    def _as_of_now(self, transit: Transit) -> Transit:
        """The trail says when it was written, beside when it was done."""
        details = json.loads(transit.deed.details) | {"recorded_at": self._clock()}
        text = json.dumps(details, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return msgspec.structs.replace(transit, deed=msgspec.structs.replace(transit.deed, details=text))
