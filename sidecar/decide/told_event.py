"""An event as it is posted: a CloudEvent 1.0 in its structured JSON form, and the facts that events are made of.

Keeps: the same fact has the same `id`, however often it is told and by whichever run, so that a receiver can leave out
what it has had; the text is made once and stored, so that every repetition is the same bytes. No feature values.
Does not: send, sign or choose receivers (`control/event_post`, `control/event_sender`).
Called by: `control/event_post`, and who has an event to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from sidecar.decide.promotion import Plan
from sidecar.reports import GateTable
from sidecar.standing import Alarm, Canary, Event, EventType

EVENT_OF_ALARM = {
    "data.broken": "sidecar.data.broken",
    "drift.detected": "sidecar.drift.detected",
    "prediction.shifted": "sidecar.prediction.shifted",
    "outcome.degraded": "sidecar.outcome.degraded",
    "mirror.silent": "sidecar.challenger.unhealthy",
}
_EVENT_OF_ACTION: Mapping[str, EventType] = {
    "promote": "sidecar.promoted",
    "override": "sidecar.promoted",
    "rollback": "sidecar.rolledback",
    "canary_start": "sidecar.canary.moved",
    "canary_step": "sidecar.canary.moved",
    "canary_stop": "sidecar.canary.stopped",
}


def cloud_event(event: Event) -> str:
    """The event's JSON text (CloudEvents 1.0, JSON event format)."""
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/sidecar/deployments/{quote(event.deployment, safe='')}" if event.deployment else "/sidecar",
        "type": event.type,
        "time": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {**event.data, "deployment": event.deployment, "says": event.says},
    }
    return msgspec.json.encode(document).decode()


def event_of_plan(plan: Plan) -> Event | None:
    """What a transition tells; None for one that is no news, such as a start."""
    event_type, state = _EVENT_OF_ACTION.get(plan.action), plan.state
    if event_type is None:
        return None
    if plan.at is not None:
        return _event_of_canary(plan, event_type, plan.at)
    at = state.champion_since
    return Event(
        type=event_type,
        deployment=state.deployment,
        at=at,
        says=f"{plan.actor}: version {plan.from_version} → {plan.to_version}",
        id=f"{state.deployment}-{state.generation}-{round(at * 1000):x}",
        data={
            "action": plan.action,
            "from": plan.from_version,
            "to": plan.to_version,
            "generation": state.generation,
            "actor": plan.actor,
            "reason": plan.reason,
            "evidence": plan.evidence,
        },
    )


def _event_of_canary(plan: Plan, event_type: EventType, at: float) -> Event:
    state, canary = plan.state, plan.state.canary
    weight = 0.0 if canary is None else canary.now.weight
    version = plan.from_version if canary is None else canary.version
    says = f"{plan.actor}: version {version} answers {weight:.4g} of the requests: {plan.reason}"
    return Event(
        type=event_type,
        deployment=state.deployment,
        at=at,
        says=says,
        id=f"{state.deployment}-{state.generation}-{plan.action}-{round(at * 1000):x}",
        data={
            "action": plan.action,
            "champion": state.champion,
            "canary": version,
            "weight": weight,
            "actor": plan.actor,
            "reason": plan.reason,
            "evidence": plan.evidence,
        },
    )


def event_of_alarm(alarm: Alarm, at: float) -> Event:
    """An alarm that began, became graver or another kind."""
    return Event(
        type=EVENT_OF_ALARM[alarm.kind],
        deployment=alarm.deployment,
        at=at,
        says=alarm.says,
        id=f"{alarm.id}-{alarm.kind}-{alarm.severity}",
        data={
            "alarm": alarm.id,
            "kind": alarm.kind,
            "severity": alarm.severity,
            "cause": alarm.cause,
            "action": alarm.action,
            "owner": alarm.owner,
            "since": alarm.since,
        },
    )


def event_of_passed_canary(table: GateTable, generation: int, canary: Canary, at: float) -> Event:
    """A canary has passed its last step; once for each."""
    return Event(
        type="sidecar.promotion.ready",
        deployment=table.deployment,
        at=at,
        says=f"version {canary.version} has passed every step as canary",
        id=f"canary-{table.deployment}-{canary.version}-{generation}-{round(canary.since * 1000):x}",
        data={"champion": table.champion, "challenger": canary.version, "evidence": table.evidence},
    )


def event_of_readiness(table: GateTable, generation: int, since: float, at: float) -> Event:
    """Every gate passes; once for a challenger's evidence, which began at `since`."""
    return Event(
        type="sidecar.promotion.ready",
        deployment=table.deployment,
        at=at,
        says=f"every gate passes for version {table.challenger}",
        id=f"ready-{table.deployment}-{table.challenger}-{generation}-{round(since * 1000):x}",
        data={"champion": table.champion, "challenger": table.challenger, "evidence": table.evidence},
    )
