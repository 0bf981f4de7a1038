"""Who agreed that a challenger may take over: the verbs, and what gates and promotions have to know of it.

Keeps: an approval is an entry of the audit trail and nothing else, so that a restart forgets none and nobody can add
one unseen; it is bound to evidence that was shown here. A gate that fails ends the approvals, in the trail too.
Does not: decide what counts (`decide/approvals` does), judge gates, promote.
Called by: the desk, the controller, the rounds; wired by control's composition root.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from sidecar import __version__
from sidecar.agreed import Approval, ApprovalDone, ApprovalStatus
from sidecar.config import Deployment
from sidecar.config_gates import ApprovalsGate, Gates
from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.decide.approvals import ACTIONS, APPROVE, VOID, WITHDRAW, Agreed, ApprovalBook
from sidecar.decide.audit_chain import Deed
from sidecar.decide.evidence import Evidence
from sidecar.decide.grounds import Grounds, Subject, grounds_of, other_grounds, subject_of
from sidecar.decide.promotion import MACHINE, checked_reason
from sidecar.errors import Refused
from sidecar.reports import GateTable
from sidecar.standing import AuditEntry

# Tables that a caller may still name: some hours of one a second.
_SHOWN = 10_000
NOBODY = "anonymous"


class Agreements:
    """The book of approvals, and the gate tables that were shown.

    Args:
        store: open.
        turns: shared with the controller, so that nobody agrees in the middle of a promotion.
        deployments: those that are in force, by name.
        clock: seconds since the epoch.
        canary_since: (deployment, challenger) -> since when it has been the canary, None if it is not: approvals that
            held then do not grow old while it is.
    """

    def __init__(
        self,
        store: Store,
        turns: Turns,
        *,
        deployments: Callable[[], Mapping[str, Deployment]],
        clock: Callable[[], float],
        canary_since: Callable[[str, str], float | None] = lambda _name, _challenger: None,
    ) -> None:
        self._canary_since = canary_since
        self._store = store
        self._turns = turns
        self._deployments = deployments
        self._clock = clock
        self._book = ApprovalBook()
        # By digest of the table, and what stands now by deployment and challenger.
        self._shown: OrderedDict[str, Grounds] = OrderedDict()
        self._standing: dict[tuple[str, str], Grounds] = {}

    async def take_up(self) -> None:
        """Reads the approvals out of the trail. Raises StoreError."""
        self._book = ApprovalBook(await self._store.entries_of(ACTIONS))

    # --- what gates and promotions ask ---------------------------------------------------------------------------

    def joined(self, evidence: Evidence, gates: Gates, generation: int, now: float) -> Evidence:
        """The evidence with the approvals that count for it."""
        policy = _policy(gates)
        subject = subject_of(evidence, gates, generation)
        approvals = self._book.counting(subject, policy.valid_s, now, self._as_canary(subject))
        return msgspec.structs.replace(evidence, approvals=approvals) if approvals else evidence

    def seen(self, table: GateTable, evidence: Evidence, gates: Gates, generation: int) -> None:
        """A table was made, and may be named by whoever reads it."""
        grounds = grounds_of(subject_of(evidence, gates, generation), table)
        key = (table.deployment, table.challenger)
        if self._standing.get(key) != grounds:
            self._standing[key] = grounds
        self._shown[table.evidence] = self._standing[key]  # mostly the same object, since little changes
        self._shown.move_to_end(table.evidence)
        while len(self._shown) > _SHOWN:
            self._shown.popitem(last=False)

    def agreed(self, table: GateTable, reviewed: str | None) -> Agreed | None:
        """What a table that was just made stands on, who agreed to it, and what evidence of this digest stood on."""
        grounds, deployment = self._shown.get(table.evidence), self._deployments().get(table.deployment)
        if grounds is None or deployment is None:
            return None
        policy = _policy(deployment.gates)
        return Agreed(
            grounds=grounds,
            approvals=self._counting(grounds.subject, policy.valid_s),
            needed=policy.min,
            promoter_counts=policy.promoter_counts,
            reviewed=None if reviewed is None else self._shown.get(reviewed),
        )

    def status(self, table: GateTable) -> tuple[ApprovalStatus, ...]:
        """The approvals of a challenger, of which this table was just made; oldest first."""
        grounds, policy = self._shown[table.evidence], _policy(self._deployments()[table.deployment].gates)
        subject = grounds.subject
        return self._book.status(subject, policy.valid_s, self._clock(), self._as_canary(subject))

    # --- the verbs -----------------------------------------------------------------------------------------------

    async def approve(self, table: Callable[[], GateTable], *, evidence: str, actor: str, reason: str) -> ApprovalDone:
        """A person agrees. `table` makes the table of now, `evidence` names the one that the person has read.

        Raises Refused where the two do not stand on the same, or where a gate fails; Invalid, Unavailable.
        """
        text = checked_reason(reason)
        if actor == NOBODY:
            raise Refused("an approval is a named person's: give people tokens of their own (admin.tokens)")
        async with self._turns.of(table().deployment):
            now = table()
            grounds, read = self._shown[now.evidence], self._shown.get(evidence)
            if read is None:
                raise Refused("nobody knows that evidence here: read the gates again and approve what they say", now)
            differs = other_grounds(read, grounds)
            if differs is not None:
                raise Refused(f"it is not what you have read any more ({differs}): read the gates again", now)
            if grounds.failing:
                raise Refused(f"gate {', '.join(grounds.failing)} fails: there is nothing to agree to", now)
            if any(given.by == actor and given.void is None for given in self.status(now)):
                return self._done(now, "unchanged", None)
            entry = await self._write(APPROVE, grounds, actor, text, evidence)
            return self._done(now, "approved", entry.seq)

    async def withdraw(self, table: Callable[[], GateTable], *, actor: str, reason: str) -> ApprovalDone:
        """A person takes the own approval back. Raises Invalid, Unavailable."""
        text = checked_reason(reason)
        async with self._turns.of(table().deployment):
            now = table()
            if not any(given.by == actor and given.void is None for given in self.status(now)):
                return self._done(now, "unchanged", None)
            entry = await self._write(WITHDRAW, self._shown[now.evidence], actor, text, now.evidence)
            return self._done(now, "withdrawn", entry.seq)

    async def end_where_gates_fail(self) -> None:
        """Approvals of challengers that fail a gate by now end, once. Raises Unavailable."""
        for (name, challenger), grounds in list(self._standing.items()):
            deployment = self._deployments().get(name)
            if deployment is None or not grounds.failing:
                continue
            valid_s = _policy(deployment.gates).valid_s
            async with self._turns.of(name):
                standing = self._standing.get((name, challenger))
                if standing is grounds and self._counting(grounds.subject, valid_s):
                    await self._write(VOID, grounds, MACHINE, f"gate {', '.join(grounds.failing)} failed", None)

    def _counting(self, subject: Subject, valid_s: float) -> tuple[Approval, ...]:
        return self._book.counting(subject, valid_s, self._clock(), self._as_canary(subject))

    def _as_canary(self, subject: Subject) -> float | None:
        return self._canary_since(subject.deployment, subject.challenger)

    async def _write(self, action: str, grounds: Grounds, actor: str, reason: str, evidence: str | None) -> AuditEntry:
        subject = grounds.subject
        details = {"grounds": msgspec.to_builtins(grounds), "software": __version__}
        deed = Deed(
            at=self._clock(),
            actor=actor,
            action=action,
            deployment=subject.deployment,
            from_version=subject.champion,
            to_version=subject.challenger,
            reason=reason,
            evidence=evidence,
            details=json.dumps(details, sort_keys=True, separators=(",", ":"), allow_nan=False),
        )
        return await self._turns.to_its_end(self._record(deed))

    async def _record(self, deed: Deed) -> AuditEntry:
        entry = await self._store.record(deed)
        self._book.fold(entry)
        return entry

    def _done(
        self, table: GateTable, done: Literal["approved", "withdrawn", "unchanged"], seq: int | None
    ) -> ApprovalDone:
        return ApprovalDone(
            deployment=table.deployment,
            challenger=table.challenger,
            done=done,
            people=tuple(given.by for given in self.status(table) if given.void is None),
            needed=_policy(self._deployments()[table.deployment].gates).min,
            audit_seq=seq,
        )


def _policy(gates: Gates) -> ApprovalsGate:
    """As configured; a gate that is off asks for nobody."""
    return gates.approvals if isinstance(gates.approvals, ApprovalsGate) else ApprovalsGate()
