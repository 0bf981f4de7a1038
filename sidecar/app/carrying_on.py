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
from sidecar.control.carryover import Carryover, Snapshot
from sidecar.control.decisions import Decisions
from sidecar.control.kept_quality import NAME as QUALITY
from sidecar.control.kept_quality import seq_of
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
        for fault in watch.restore(await _saved(name, carryover, decisions)):
            log.warning("evidence begins anew", extra={"fields": {"deployment": name, "says": fault}})
    origins.begin(watches.values(), time.time())
    await _count_outcomes(watches, decisions)
    # What is broken is known before the first exchange comes.
    with contextlib.suppress(SidecarError):
        await rounds.round()


async def _saved(name: str, carryover: Carryover, decisions: Decisions) -> dict[str, Snapshot]:
    """A deployment's snapshots; without that of outcomes where joins since then are missing, as after a restored
    backup.
    """
    saved = await carryover.snapshots(name)
    if QUALITY in saved:
        try:
            continues = await decisions.continues(seq_of(saved[QUALITY].blob))
        except ValueError:
            return saved  # told when it is taken up
        if not continues:
            log.warning("every outcome is counted again", extra={"fields": {"deployment": name}})
            del saved[QUALITY]
    return saved


async def _count_outcomes(watches: Mapping[str, DeploymentWatch], decisions: Decisions) -> None:
    """Those that came after the snapshots; where there is none, all that are on disk."""
    # Of a file that was set aside or removed nothing is there; numbers go on.
    decisions.seq = max(decisions.seq, *(watch.kept_quality.seq or 0 for watch in watches.values()), 0)
    anew = {name: watch for name, watch in watches.items() if watch.kept_quality.seq is None}
    if anew:
        async for joined in decisions.matched():
            if joined.deployment in anew:
                anew[joined.deployment].fold_joined(joined)
    for name, watch in anew.items():
        for coverage in await decisions.coverage(name):
            watch.quality.fold_predicted(coverage.champion, coverage.decided)
        watch.kept_quality.seq = decisions.seq
    oldest = min((watch.kept_quality.seq or 0 for watch in watches.values()), default=0)
    async for joined in decisions.joined_after(oldest):
        known = watches.get(joined.deployment)
        if known is not None and joined.seq > (known.kept_quality.seq or 0):
            known.fold_joined(joined)
