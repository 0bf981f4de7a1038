"""What control asks model servers on its own account: do they answer, and what would they say.

Keeps: a version is verified by its own TLS settings, as the workers do it.
Does not: decide when to ask. Called by: control's composition root.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sidecar.config import Settings
from sidecar.control.champion_call import ask_champion
from sidecar.control.noise_floor import NoiseFloorAsking
from sidecar.control.probe import probe
from sidecar.control.rescoring import Rescoring
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.routing import trust_of
from sidecar.records import Answer
from sidecar.standing import Target
from sidecar.telemetry.counts import WorkerTotals


def probing(settings: Callable[[], Settings]) -> Callable[[Target], Awaitable[str | None]]:
    """Asks whether a version answers: None, or a sentence."""

    async def ask(target: Target) -> str | None:
        return await probe(target, trust_of(target, settings().upstream_tls))

    return ask


def rescoring(
    watches: Mapping[str, DeploymentWatch],
    totals: WorkerTotals,
    settings: Callable[[], Settings],
    clock: Callable[[], float],
) -> Rescoring:
    """The proof of causes, on the champions' spare capacity."""

    async def ask(target: Target, path: str, body: bytes) -> Answer | None:
        return await ask_champion(target, path, body, trust_of(target, settings().upstream_tls))

    return Rescoring(watches, ask=ask, totals=totals.totals, clock=clock)


def asking_again(
    watches: Mapping[str, DeploymentWatch],
    totals: WorkerTotals,
    settings: Callable[[], Settings],
    clock: Callable[[], float],
) -> NoiseFloorAsking:
    """How often a champion contradicts itself, where the settings allow to ask it again."""

    async def ask(target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        return await ask_champion(target, path, body, trust_of(target, settings().upstream_tls), headers)

    return NoiseFloorAsking(watches, ask=ask, totals=totals.totals, clock=clock)
