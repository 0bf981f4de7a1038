"""A state folder with a few transitions in it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sidecar.control.store import Store
from sidecar.decide.audit_chain import Deed
from sidecar.standing import DeploymentState, Target

NOW = 1_700_000_000.0
# What makes of a store of today one of that schema, less the number itself.
AS_OF_VERSION_2 = (
    "DROP TABLE alembic_version",
    "ALTER TABLE outbox DROP COLUMN landed_at",
    "ALTER TABLE outbox DROP COLUMN aside_at",
)


def state(generation: int, champion: str, deployment: str = "fraud") -> DeploymentState:
    return DeploymentState(
        deployment=deployment,
        generation=generation,
        champion=champion,
        champion_target=Target(f"http://127.0.0.1:80{champion}0"),
        champion_since=NOW,
    )


def deed(to_version: str | None, **changes: Any) -> Deed:
    fields: dict[str, Any] = {
        "at": NOW,
        "actor": "alice",
        "action": "promote",
        "deployment": "fraud",
        "from_version": None,
        "to_version": to_version,
        "reason": "because",
        "evidence": None,
        "details": "{}",
    }
    return Deed(**fields | changes)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    store = await Store.open(folder)
    try:
        yield store
    finally:
        await store.close()


async def step(store: Store, generation: int, champion: str, **more: Any) -> None:
    await store.transition(state(generation, champion), expected_generation=generation - 1, deed=deed(champion), **more)


async def folder_with(folder: Path, transitions: int) -> Path:
    """A closed state folder whose champions were 1, 2, … `transitions`."""
    async with opened(folder) as store:
        for number in range(1, transitions + 1):
            await step(store, number, str(number))
    return folder


def run_sql(folder: Path, *statements: str) -> None:
    """What someone with the file and another program could do."""
    with closing(sqlite3.connect(folder / "sidecar.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
