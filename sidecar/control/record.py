"""The record as the admin API sees it: the trail's head, reports on transitions, what a stretch cost, dead letters.

Keeps: reading changes nothing; what a person has sent again stands in the trail.
Does not: hold the trail (`store`), word a report (`decision_report`), count (`cost`), send (`outbox`).
Wired by control's composition root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from pydantic import ValidationError

from sidecar.config_gates import Gates
from sidecar.control.cost import stored_cost
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.gate_hours import GateHours
from sidecar.control.store import Store
from sidecar.decide.audit_chain import Deed
from sidecar.decide.evidence_record import FORMULAS
from sidecar.decide.history import CANARY_STEPS, champion_spans
from sidecar.decide.promotion import checked_reason
from sidecar.decide.rehearsal import rehearse
from sidecar.decision_report.facts import DecisionReport, report_of
from sidecar.decision_report.markdown import as_markdown
from sidecar.decision_report.page import POLICY, as_page
from sidecar.errors import Invalid, Unknown
from sidecar.observe.agreement import Tolerance
from sidecar.recorded import Cost, DeadLetter, DeadLetters, Move, Rehearsal, SignedHead
from sidecar.standing import AuditCheck, AuditEntry

Form = Literal["html", "markdown"]


class Record:
    """Satisfies `admin.record_service.RecordService`.

    Args:
        store: open.
        decisions: open.
        dead_letters: of the outbox.
        hours: what the gates could read, by the hour.
        tolerance: how near a deployment's scores agree; raises Unknown for one that is not there.
        gates: a deployment's gates in force; raises as `tolerance` does.
        clock: seconds since the epoch.
    """

    report_policy = POLICY

    def __init__(
        self,
        store: Store,
        decisions: Decisions,
        *,
        dead_letters: DeadLetterOffice,
        hours: GateHours,
        tolerance: Callable[[str], Tolerance],
        gates: Callable[[str], Gates],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._decisions = decisions
        self._dead_letters = dead_letters
        self._hours = hours
        self._tolerance = tolerance
        self._gates = gates
        self._clock = clock

    # --- the trail -----------------------------------------------------------------------------------------------

    def head(self) -> SignedHead:
        """The newest entry, signed where there is a key: to be kept elsewhere."""
        return self._store.signed_head(self._clock())

    async def verify_against(self, head: SignedHead) -> AuditCheck:
        """Checks the whole trail, also against a head that was kept elsewhere."""
        return await self._store.verify(head)

    async def transitions(self, name: str) -> tuple[AuditEntry, ...]:
        """Every step of a deployment's champion, oldest first; Unknown where the trail tells of none."""
        found = await self._store.transitions_of(name)
        if not found:
            raise Unknown(f"the trail tells of no transition of {name!r}")
        return found

    async def report(self, name: str, seq: int | None, form: Form) -> str:
        """The report on one transition, by default on the newest. Raises Unknown."""
        found = report_of(
            await self._store.transitions_of(name, CANARY_STEPS), name, seq, await self._store.verify(), self._clock()
        )
        return await asyncio.to_thread(_written, found, form)

    # --- what was stored -----------------------------------------------------------------------------------------

    async def cost(self, name: str, since: float, until: float) -> Cost:
        """What happened between two times. Raises Unknown, Invalid."""
        if not since < until:
            raise Invalid("from must be before to.")
        tolerance = self._tolerance(name)
        found = await stored_cost(self._decisions, name, since, until, tolerance)
        spans = champion_spans(await self._store.transitions_of(name), name)
        alarms = await self._store.carryover.alarms(ended_after=since)
        return Cost(
            deployment=name,
            since=since,
            until=until,
            requests=found.requests,
            rows=found.rows,
            read=found.read,
            kept_since=found.kept_since,
            versions=found.versions,
            pairs=found.pairs,
            champions=tuple(
                each for each in spans if each.since < until and (each.until is None or each.until > since)
            ),
            alarms=tuple(
                sorted(
                    (each for each in alarms if each.deployment == name and each.since < until),
                    key=lambda alarm: (alarm.since, alarm.id),
                )
            ),
        )

    async def rehearsal(
        self, name: str, challenger: str | None, gates: Mapping[str, object] | None, days: int
    ) -> Rehearsal:
        """What these gates, by default those in force, would have decided. Raises Unknown, Invalid."""
        in_force, until = self._gates(name), self._clock()
        settings, since = in_force if gates is None else _checked(gates), until - days * 86_400.0
        hours, unreadable = await self._hours.hours(name, challenger, since)
        moves = tuple(
            Move(
                at=entry.at,
                action=entry.action,
                actor=entry.actor,
                from_version=entry.from_version,
                to_version=entry.to_version,
            )
            for entry in await self._store.transitions_of(name)
            if since <= entry.at <= until
        )
        return Rehearsal(
            deployment=name,
            since=since,
            until=until,
            kept_since=await self._hours.kept_since(name),
            hours=len(hours),
            unreadable=unreadable,
            formulas=FORMULAS,
            settings=settings.model_dump(mode="json"),
            challengers=await asyncio.to_thread(rehearse, hours, settings, moves),
            moves=moves,
        )

    # --- events that nobody took ---------------------------------------------------------------------------------

    async def dead_letters(self) -> DeadLetters:
        """The newest first."""
        return await self._dead_letters.letters()

    async def send_again(self, letter: int, *, actor: str, reason: str) -> DeadLetter:
        """Tries it again, from its place in the line; the trail says who wanted it."""
        text, found = checked_reason(reason), await self._dead_letters.letter(letter)
        details = {"letter": letter, "event": found.event, "type": found.type}
        await self._store.record(
            Deed(
                at=self._clock(),
                actor=actor,
                action="resend_event",
                deployment=found.deployment,
                from_version=None,
                to_version=None,
                reason=text,
                evidence=None,
                details=msgspec.json.encode(details).decode(),
            )
        )
        await self._dead_letters.send_again(letter)
        return found


def _written(report: DecisionReport, form: Form) -> str:
    return as_page(report) if form == "html" else as_markdown(report)


def _checked(gates: Mapping[str, object]) -> Gates:
    try:
        return Gates.model_validate(gates)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        # A gate is a section or off: pydantic names which of the two it tried, in capitals or with brackets.
        told = (str(part) for part in first["loc"])
        place = ".".join(("gates", *(part for part in told if part.islower() and "[" not in part)))
        raise Invalid(f"{place}: {first['msg']}") from None
