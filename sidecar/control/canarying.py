"""What the machine does about a canary, once a second: judges its step, gives it the next share, or takes it back.

Keeps: it takes back by itself in every mode, as soon as a gate fails, its connections have failed for long, or the
settings name it no longer, or mean another model by it; what a broken input shows is held against nobody. Shares grow
in every mode, but not where a person holds the version or outside the hours of the machine. What comes after the last
step is a promotion: the machine's own in mode auto, else a person's, who is told that it is ready.
Does not: decide (`decide/canary`), carry out (`canaries`). Called by: `automation`, with what people have said.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from sidecar.config_promotion import Promotion
from sidecar.control.announcer import Announcer
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.automation import Past, inside
from sidecar.decide.canary import next_of
from sidecar.decide.promotion import MACHINE
from sidecar.decide.routing import targets
from sidecar.decide.told_event import event_of_passed_canary
from sidecar.errors import SidecarError
from sidecar.reports import GateTable
from sidecar.standing import Canary, Transition

log = logging.getLogger("sidecar.control.canarying")

_UNWELL = ("paused", "unreachable")


class CanaryVerbs(Protocol):
    """The desk, as far as this needs it."""

    def gates(self, name: str, challenger: str | None) -> GateTable:
        """The gates over all evidence."""

    def canary_gates(self, name: str) -> tuple[GateTable, Callable[[], Mapping[str, Any]]]:
        """The gates over the present step's, and what they were judged on."""

    async def step_canary(self, name: str, expected: Canary, table: GateTable, record: Mapping[str, Any]) -> Transition:
        """The next share."""

    async def stop_canary(
        self,
        name: str,
        version: str | None,
        *,
        actor: str,
        reason: str,
        idempotency_key: str | None,
        facts: Mapping[str, object] = {},
        record: Mapping[str, Any] = {},
        expected: Canary | None = None,
    ) -> Transition:
        """None any more."""


class Canarying:
    """One look at a canary a second. `look` says what it waits for; empty where every step has passed."""

    def __init__(self, verbs: CanaryVerbs, announcer: Announcer, clock: Callable[[], float]) -> None:
        self._verbs = verbs
        self._announcer = announcer
        self._clock = clock
        # Since when a canary's connections have failed without a break, by deployment.
        self._unwell: dict[str, tuple[Canary, float]] = {}
        self._told: dict[str, float] = {}

    async def look(self, name: str, watch: DeploymentWatch, canary: Canary, past: Callable[[], Awaitable[Past]]) -> str:
        """Does what is to be done now. Raises SidecarError where it was refused."""
        now = self._clock()
        other = _other(watch, canary)
        if other is not None:
            await self._stop(name, canary, other, {}, {})
            return f"version {canary.version} was taken back"
        table, record = self._verbs.canary_gates(name)
        whole = self._verbs.gates(name, canary.version)
        what, says = next_of(canary, table, whole, self._unwell_s(name, watch, canary, now))
        if what == "stop":
            facts = {
                "gates": msgspec.to_builtins(table.gates),
                "verdict": table.verdict,
                "all_evidence": {gate.name: gate.verdict for gate in whole.gates},
            }
            await self._stop(name, canary, f"version {canary.version} as canary: {says}", facts, record())
            return f"version {canary.version} was taken back: {says}"
        if what == "wait":
            return says
        because = _held_up(watch.deployment.promotion, await past(), canary, now, step=what == "step")
        if because is not None:
            return f"{says}; {because}"
        if what == "step":
            await self._verbs.step_canary(name, canary, table, record())
            log.info("a canary took a step", extra={"fields": {"deployment": name, "version": canary.version}})
            return says
        if self._told.get(name) != canary.since:
            self._told[name] = canary.since
            self._announcer.announce(event_of_passed_canary(table, watch.state.generation, canary, now))
        return ""

    async def _stop(
        self, name: str, canary: Canary, says: str, facts: Mapping[str, object], record: Mapping[str, Any]
    ) -> None:
        try:
            await self._verbs.stop_canary(
                name,
                canary.version,
                actor=MACHINE,
                reason=says[:500],
                idempotency_key=None,
                facts=facts,
                record=record,
                expected=canary,
            )
        except SidecarError as error:
            log.warning("a canary could not be taken back", extra={"fields": {"deployment": name, "says": str(error)}})
            raise
        log.warning("a canary was taken back", extra={"fields": {"deployment": name, "says": says}})

    def _unwell_s(self, name: str, watch: DeploymentWatch, canary: Canary, now: float) -> float:
        if watch.health(canary.version) not in _UNWELL:
            self._unwell.pop(name, None)
            return 0.0
        of, since = self._unwell.get(name, (canary, now))
        if (of.version, of.since) != (canary.version, canary.since) or since > now:
            since = now
        self._unwell[name] = canary, since
        return now - since


def _other(watch: DeploymentWatch, canary: Canary) -> str | None:
    """Why what answers is not what has passed the gates; None where it is."""
    known = targets(watch.deployment).get(canary.version)
    if known != canary.target:
        says = "at another address by now" if known is not None else "no longer"
        return f"the settings name version {canary.version} {says}"
    if watch.evidence.canary.other_model:
        return f"version {canary.version}, or its champion, is another model by now than the one that passed the gates"
    return None


def _held_up(policy: Promotion, past: Past, canary: Canary, now: float, *, step: bool) -> str | None:
    """What a person, or the clock, has against going on; None where nothing has."""
    if past.held_by_a_person(canary.version):
        return past.held(canary.version)
    if step and policy.mode == "auto" and not inside(policy.hours, now):
        return f"it goes on between {policy.hours.start} and {policy.hours.end} ({policy.hours.zone}) only"
    return None
