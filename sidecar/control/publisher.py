"""Brings the routing table to the workers: to disk for those that start while control is away, and over the link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sidecar.config import Settings
from sidecar.control.carryover import Carryover
from sidecar.control.intake import Intake
from sidecar.control.whole_file import write_whole
from sidecar.decide.routing import routing_table
from sidecar.standing import DeploymentState

ACKNOWLEDGE_S = 2.0


class Publisher:
    """Writes and sends the table that settings and states mean."""

    def __init__(self, path: Path, settings: Callable[[], Settings], carryover: Carryover, intake: Intake) -> None:
        self._path = path
        self._settings = settings
        self._carryover = carryover
        self._intake = intake

    async def publish(self, states: Mapping[str, DeploymentState]) -> bool:
        """True once every connected worker routes by the new table; False if one did not say so in time.

        A disk that cannot be written does not stop a rollback: the workers that run get the table all the same.
        """
        serial = await self._carryover.next_serial()
        table = routing_table(self._settings(), states, serial)
        encoded = msgspec.msgpack.encode(table)
        try:
            await asyncio.to_thread(write_whole, self._path, encoded)
        finally:
            self._intake.publish(table, encoded)
        return await self._intake.wait_acknowledged(ACKNOWLEDGE_S)
