"""What control keeps in its state folder, opened in order, and closed in the reverse one by whoever asked.

Keeps: one sidecar per folder, since the store locks it first. Called by control's composition root.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from sidecar.app.audit_keys import keyring_of
from sidecar.app.ending import kept
from sidecar.config import Settings
from sidecar.control.database import Damaged
from sidecar.control.decisions import FILE_NAME as DECISIONS
from sidecar.control.decisions import KEEP_S, Decisions
from sidecar.control.recording import Recording
from sidecar.control.reserve import Reserve
from sidecar.control.store import Store
from sidecar.control.unrecorded import FILE_NAME, Unrecorded

log = logging.getLogger("sidecar.control")

# Decisions are kept for the outcomes' window and this long: what comes too late is still told from an orphan.
_BEYOND_WINDOW_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Open ones."""

    store: Store
    recording: Recording
    decisions: Decisions


async def open_stores(settings: Settings, sockets: Path, opened: AsyncExitStack) -> Stores:
    """Opens them; `opened` closes them. Raises StoreError.

    `sockets`: a folder on another disk than the state, or at least one that is written to where that one cannot be.
    """
    state_dir = Path(settings.state_dir)
    # Who wants the folder must stop the supervisor.
    store = await Store.open(state_dir, os.getppid(), keyring_of(settings))
    opened.push_async_callback(store.close)
    recording = Recording(store, time.time, Reserve(state_dir), Unrecorded(sockets / FILE_NAME))
    await recording.replenish()
    decisions = await _decisions(settings, state_dir, recording)
    opened.push_async_callback(kept, decisions.close)
    return Stores(store, recording, decisions)


async def _decisions(settings: Settings, state_dir: Path, recording: Recording) -> Decisions:
    """The open file. A damaged one is set aside for a new one: traffic, promotion and rollback do not wait for it."""
    keep_s = max(KEEP_S, settings.outcomes.window_s + _BEYOND_WINDOW_S)
    limits, held_back = settings.outcomes, recording.held_back
    try:
        return await Decisions.open(state_dir, keep_s=keep_s, most_bytes=limits.retention_bytes, held_back=held_back)
    except Damaged as error:
        aside = _set_aside(state_dir / DECISIONS)
        says = (
            f"{state_dir / DECISIONS} was damaged and is set aside as {aside.name}, a new one was begun: outcomes of"
            " requests from before are not matched; stop the sidecar and put a backup in its place if they matter"
        )
        log.error("decisions are damaged", extra={"fields": {"says": says, "found": str(error)}})  # noqa: TRY400
    decisions = await Decisions.open(state_dir, keep_s=keep_s, most_bytes=limits.retention_bytes, held_back=held_back)
    decisions.set_aside = says
    return decisions


def _set_aside(path: Path) -> Path:
    """Renames the file, and what SQLite has beside it. Nothing is deleted."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for ending in ("", "-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + ending))
    return aside
