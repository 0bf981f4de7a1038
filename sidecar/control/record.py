"""The record as the admin API sees it: the trail's head, reports on transitions, what a stretch cost, dead letters.

Keeps: reading changes nothing; what a person has sent again stands in the trail.
Does not: hold the trail (`store`), word a report (`decision_report`), count (`cost`), send (`outbox`).
Wired by control's composition root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from sidecar.control.cost import stored_cost
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.store import Store
from sidecar.decide.audit_chain import Deed
from sidecar.decide.history import champion_spans
from sidecar.decide.promotion import checked_reason
from sidecar.decision_report.facts import DecisionReport, report_of
from sidecar.decision_report.markdown import as_markdown
from sidecar.decision_report.page import POLICY, as_page
from sidecar.errors import Invalid, Unknown
from sidecar.observe.agreement import Tolerance
from sidecar.recorded import Cost, DeadLetter, DeadLetters, SignedHead
from sidecar.standing import AuditCheck, AuditEntry

Form = Literal["html", "markdown"]


class Record:
    """Satisfies `admin.record_service.RecordService`.

    Args:
        store: open.
        decisions: open.
        dead_letters: of the outbox.
        tolerance: how near a deployment's scores agree; raises Unknown for one that is not there.
        clock: seconds since the epoch.
    """

    report_policy = POLICY

    def __init__(
        self,
        store: Store,
        decisions: Decisions,
        *,
        dead_letters: DeadLetterOffice,
        tolerance: Callable[[str], Tolerance],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._decisions = decisions
        self._dead_letters = dead_letters
        self._tolerance = tolerance
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
        found = report_of(await self._store.transitions_of(name), name, seq, await self._store.verify(), self._clock())
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
