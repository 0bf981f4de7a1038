"""What control takes up when it starts: baselines, the last run's evidence, and outcomes from disk.

Keeps: baselines come first, since evidence belongs to one; what cannot be read begins anew and is told. Called by
control's composition root, before the first exchange can come.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping

from sidecar.control.carryover import Carryover
from sidecar.control.decisions import Decisions
from sidecar.control.rounds import Rounds
from sidecar.control.watch import DeploymentWatch
from sidecar.errors import SidecarError

log = logging.getLogger("sidecar.control")


async def carry_on(
    rounds: Rounds, watches: Mapping[str, DeploymentWatch], carryover: Carryover, decisions: Decisions
) -> None:
    """Every watch goes on where the last run left off."""
    await rounds.ask_registry()
    for name, watch in watches.items():
        for fault in watch.restore(await carryover.snapshots(name)):
            log.warning("evidence begins anew", extra={"fields": {"deployment": name, "says": fault}})
    async for joined in decisions.matched():
        if joined.deployment in watches:
            watches[joined.deployment].fold_joined(joined)
    for name, watch in watches.items():
        for coverage in await decisions.coverage(name):
            watch.quality.fold_predicted(coverage.champion, coverage.decided)
    # What is broken is known before the first exchange comes.
    with contextlib.suppress(SidecarError):
        await rounds.round()
