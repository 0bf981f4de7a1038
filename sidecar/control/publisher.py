"""Brings the routing table to the workers: over the link at once, and to disk for those that start without control.

Keeps: what was decided goes out, whatever the disk says: without a number from the store the table takes the next one,
and a table that could not be written, or that the disk lost, is written again. Numbers only grow while control lives.
Does not: decide what is routed. Called by control's composition root: `send` in order, `settle` as long as it takes,
`keep` by the clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from sidecar.config import Settings
from sidecar.control.carryover import Carryover
from sidecar.control.intake import Intake
from sidecar.control.whole_file import write_whole
from sidecar.decide.routing import routing_table
from sidecar.errors import Unavailable
from sidecar.standing import DeploymentState

log = logging.getLogger("sidecar.control.publisher")

ACKNOWLEDGE_S = 2.0
SERIALS_AT_ONCE = 1_000


class Publisher:
    """Sends and writes the table that settings, states and the kill switches mean."""

    def __init__(
        self,
        path: Path,
        settings: Callable[[], Settings],
        carryover: Carryover,
        intake: Intake,
        switched_off: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._path = path
        self._settings = settings
        self._switched_off = switched_off
        self._carryover = carryover
        self._intake = intake
        self._serial = self._reserved = 0
        self._newest: bytes | None = None
        self._unwritten: bytes | None = None
        self._writing = asyncio.Lock()

    async def send(self, states: Mapping[str, DeploymentState]) -> None:
        """Sends the table to every worker that is here. Never raises, and waits for the store's numbers only.

        A deployment that has no state yet (its first one could not be stored, or its registry has not named a champion
        yet) is left out.
        """
        self._serial = await self._next_serial()
        table = routing_table(self._settings(), states, self._serial, self._switched_off())
        self._newest = self._unwritten = msgspec.msgpack.encode(table)
        self._intake.publish(table, self._newest)

    async def settle(self) -> bool:
        """Writes the newest table; True once every connected worker routes by it, False if one is late."""
        async with self._writing:
            encoded = self._unwritten
            if encoded is not None:
                await self._write(encoded)
        return await self._intake.wait_acknowledged(ACKNOWLEDGE_S)

    async def keep(self) -> None:
        """Writes the newest table if the disk has another one or none: a worker that starts has no other source.

        Never raises. A folder that was removed is made again.
        """
        async with self._writing:
            encoded = self._newest
            if encoded is not None and await asyncio.to_thread(_content, self._path) != encoded:
                await self._write(encoded)

    async def _next_serial(self) -> int:
        """The next of those that the store was asked for: no table that is sent under load waits for it."""
        try:
            while self._reserved <= self._serial:  # more than once where the store was away for some tables
                self._reserved = await self._carryover.reserve_serials(SERIALS_AT_ONCE)
        except Unavailable as error:
            log.warning("the routing table goes out without the store", extra={"fields": {"says": str(error)}})
        return max(self._serial, self._reserved - SERIALS_AT_ONCE) + 1

    async def _write(self, encoded: bytes) -> None:
        try:
            await asyncio.to_thread(_write, self._path, encoded)
        except OSError as error:
            log.warning("the routing table is not on disk", extra={"fields": {"says": error.strerror}})
        else:
            if self._unwritten is encoded:
                self._unwritten = None


def _content(path: Path) -> bytes | None:
    """What is on disk; None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, encoded: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encoded)
