"""A person has seen an alarm: it is kept so, with an entry of the trail that says who and why.

Keeps: in turn with the verbs of the alarm's deployment; a second time changes nothing. Called by: `controller`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.decide.audit_chain import Deed
from sidecar.decide.promotion import checked_reason
from sidecar.errors import Unknown
from sidecar.standing import Acknowledgement, Alarm


async def acknowledge(
    store: Store, turns: Turns, alarm_id: str, *, actor: str, reason: str, clock: Callable[[], float]
) -> Alarm:
    """The alarm as it is kept from now on. Raises Unknown, Invalid, Unavailable."""
    text = checked_reason(reason)
    alarm = await store.carryover.alarm(alarm_id)
    if alarm is None:
        raise Unknown(f"there is no alarm {alarm_id!r}; `sidecar alarms` lists them")
    async with turns.of(alarm.deployment):
        alarm = await store.carryover.alarm(alarm_id) or alarm
        if alarm.acknowledged:
            return alarm
        now = clock()
        seen = msgspec.structs.replace(
            alarm, acknowledged=True, acknowledgement=Acknowledgement(by=actor, at=now, reason=text)
        )
        details = msgspec.json.encode({"alarm": alarm.id, "kind": alarm.kind, "says": alarm.says}).decode()
        deed = Deed(
            at=now,
            actor=actor,
            action="acknowledge",
            deployment=alarm.deployment,
            from_version=None,
            to_version=None,
            reason=text,
            evidence=None,
            details=details,
        )
        await turns.to_its_end(store.acknowledge(seen, deed))
        return seen
