"""What the admin API asks of the record; the part of `service` that is about what was. Errors as there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from sidecar.recorded import Cost, DeadLetter, DeadLetters, Rehearsal, SignedHead
from sidecar.standing import AuditCheck, AuditEntry


class RecordService(Protocol):
    """The record, seen from the API. `report_policy` is the content security policy of a report's page."""

    @property
    def report_policy(self) -> str:
        """What a report's page may load: nothing but its own style."""

    def head(self) -> SignedHead:
        """The trail's newest entry, to be kept elsewhere."""

    async def verify_against(self, head: SignedHead) -> AuditCheck:
        """Checks the whole trail, also against a head that was kept elsewhere."""

    async def transitions(self, name: str) -> tuple[AuditEntry, ...]:
        """Every step of a deployment's champion, oldest first."""

    async def report(self, name: str, seq: int | None, form: Literal["html", "markdown"]) -> str:
        """The report on one transition, by default on the newest."""

    async def cost(self, name: str, since: float, until: float) -> Cost:
        """What happened between two times."""

    async def rehearsal(
        self, name: str, challenger: str | None, gates: Mapping[str, object] | None, days: int
    ) -> Rehearsal:
        """What these gates, by default those in force, would have decided over the last days."""

    async def dead_letters(self) -> DeadLetters:
        """Events that nobody took, the newest first."""

    async def send_again(self, letter: int, *, actor: str, reason: str) -> DeadLetter:
        """Tries one again."""
