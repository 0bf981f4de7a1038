"""The verbs about a canary: begin one, give it its next share, take all requests back to the champion.

Keeps: they are carried out as every other step is: in turn, probed, state and audit entry at once, then published; the
end of one is done whatever the disk says, as a rollback is. Does not: decide (`decide/canary`), or look by the clock
(`canarying`). Called by: the desk. Wired by control's composition root.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from sidecar.control.controller import Controller
from sidecar.control.objection import Objection, unobjected
from sidecar.control.probe import probed
from sidecar.control.repeated_calls import first_answer, request_of
from sidecar.control.store import Store
from sidecar.decide.approvals import Agreed
from sidecar.decide.canary import decide_canary, decide_step, decide_stop, steps_of
from sidecar.decide.evidence_record import with_record
from sidecar.decide.promotion import MACHINE, candidate, checked_reason
from sidecar.decide.routing import targets
from sidecar.errors import Refused, Unavailable
from sidecar.reports import GateTable
from sidecar.standing import Canary, Target, Transition
from sidecar.wished import Wish


class Canaries:
    """Carries the plans out, by the controller's means.

    Args:
        store: open.
        controller: whose turns, states and way into the store these are.
        gate_table, probe, clock, basis, agreed: as the controller's.
        shadow_on: whether a deployment's shadow work is switched on: else no canary is asked for anything.
    """

    def __init__(
        self,
        store: Store,
        controller: Controller,
        *,
        gate_table: Callable[[str, str], GateTable],
        probe: Callable[[Target], Awaitable[str | None]],
        clock: Callable[[], float],
        basis: Callable[[GateTable], Mapping[str, Any]],
        agreed: Callable[[GateTable, str | None], Agreed | None],
        shadow_on: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        self._store = store
        self._controller = controller
        self._gate_table = gate_table
        self._probe = probe
        self._clock = clock
        self._basis = basis
        self._agreed = agreed
        self._shadow_on = shadow_on

    async def start(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """The challenger answers the first step's share if every gate passes and it answers its probe.

        `objection`: what is asked where the machine calls.
        Raises Unknown, Invalid, Refused (with the gate table where it is the reason), Unavailable.
        """
        controller = self._controller
        wish = msgspec.structs.replace(wish, reason=checked_reason(wish.reason))
        deployment, request = controller.deployment(name), request_of("canary_start", name, wish)
        async with controller.turns.of(name):
            first = await controller.first_answer(wish, request)
            if first is not None:
                return first
            await controller.recording.catch_up(name)
            await unobjected(objection)
            if not self._shadow_on(name):
                raise Refused(f"{name}: shadow work is switched off, so no canary is asked: `sidecar shadow on {name}`")
            state, known, steps = controller.state(name), targets(deployment), steps_of(deployment.promotion)
            candidate(state, wish, known)
            table = self._gate_table(name, wish.challenger)
            agreed = self._agreed(table, wish.evidence)
            plan = decide_canary(state, wish, table, known, steps, now=self._clock(), agreed=agreed)
            plan = dataclasses.replace(plan, details=with_record(plan.details, self._basis(table)))
            await probed(self._probe, plan.target, plan.to_version, force=wish.force)
            # The probe took its time, and a gate may have turned. The plan keeps the table that was asked about.
            seen_again = msgspec.structs.replace(wish, evidence=None)
            latest = self._gate_table(name, wish.challenger)
            again = self._agreed(latest, None)
            decide_canary(state, seen_again, latest, known, steps, now=self._clock(), agreed=again)
            return await controller.told_or_done(plan, request, wish.idempotency_key, dry_run=wish.dry_run)

    async def step(self, name: str, expected: Canary, table: GateTable, record: Mapping[str, Any]) -> Transition:
        """The next share, on a table over the present step. Raises Refused, Unavailable."""
        controller = self._controller
        async with controller.turns.of(name):
            await controller.recording.catch_up(name)
            reason = f"every gate passes over step {expected.step + 1}"
            plan = decide_step(controller.state(name), expected, table, MACHINE, reason, self._clock())
            plan = dataclasses.replace(plan, details=with_record(plan.details, record))
            return await controller.commit(plan, None, "")

    async def stop(
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
        dry_run: bool = False,
    ) -> Transition:
        """All requests are the champion's again. No gates, no probe: the champion has answered all along.

        `expected`: which canary was judged, where somebody judged. Raises Unknown, Invalid, Refused.
        """
        controller = self._controller
        controller.deployment(name)
        text = checked_reason(reason)
        request = request_of("canary_stop", name, [version, actor, text])
        async with controller.turns.of(name):
            try:
                first = None
                if not dry_run:
                    first = await first_answer(controller.recording, self._store, idempotency_key, request)
            except Unavailable:
                first = None
            if first is not None:
                return first
            state = controller.state(name)
            plan = decide_stop(state, version, actor, text, self._clock(), facts, expected)
            plan = dataclasses.replace(plan, details=with_record(plan.details, record))
            return await controller.told_or_done(plan, request, idempotency_key, dry_run=dry_run)
