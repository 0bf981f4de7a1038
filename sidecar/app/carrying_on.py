"""What control takes up when it starts: what the registry was not told, baselines, evidence, and outcomes from disk.

Keeps: baselines come first, since evidence belongs to one; what cannot be read begins anew and is told. Called by
control's composition root, before the first exchange can come.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

from sidecar.app.registry import RegistryParts
from sidecar.config import Deployment
from sidecar.control.carryover import Carryover
from sidecar.control.decisions import Decisions
from sidecar.control.origins import Origins
from sidecar.control.outbox import Outbox
from sidecar.control.rounds import Rounds
from sidecar.control.watch import DeploymentWatch
from sidecar.control.write_back import WRITE_BACK
from sidecar.errors import SidecarError

log = logging.getLogger("sidecar.control")


async def remember(
    parts: RegistryParts, outbox: Outbox, carryover: Carryover, deployments: Iterable[Deployment]
) -> None:
    """What the last run could not tell the registry, and how it was there; before the registry is asked."""
    parts.write_back.note_landed, parts.write_back.hurry = outbox.landed, outbox.hurry
    parts.write_back.take_up(await outbox.kept(WRITE_BACK))
    for deployment in deployments:
        snapshots = await carryover.snapshots(deployment.name)
        parts.write_back.restore(snapshots)
        parts.origins.restore(snapshots)


async def carry_on(
    rounds: Rounds,
    watches: Mapping[str, DeploymentWatch],
    carryover: Carryover,
    decisions: Decisions,
    origins: Origins,
) -> None:
    """Every watch goes on where the last run left off."""
    await rounds.ask_registry()
    for name, watch in watches.items():
        for fault in watch.restore(await carryover.snapshots(name)):
            log.warning("evidence begins anew", extra={"fields": {"deployment": name, "says": fault}})
    origins.begin(watches.values(), time.time())
    async for joined in decisions.matched():
        if joined.deployment in watches:
            watches[joined.deployment].fold_joined(joined)
    for name, watch in watches.items():
        for coverage in await decisions.coverage(name):
            watch.quality.fold_predicted(coverage.champion, coverage.decided)
    # What is broken is known before the first exchange comes.
    with contextlib.suppress(SidecarError):
        await rounds.round()
