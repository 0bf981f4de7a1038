"""Recommends retraining: asks `decide/retrain` what it thinks, and has the answer told.

Keeps: a recommendation, its audit entry and its rows in the outbox are one transaction; what was recommended before is
read from the trail, and whether a receiver took it from the outbox, so a restart forgets nothing.
Does not: judge (`decide/retrain` does), train anything, or look where no alarm stands.
Called by: the rounds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from sqlalchemy import select

from sidecar.control import schema
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.event_post import EVENT, EventPost
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.store import Store
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.audit_chain import Deed
from sidecar.decide.retrain import MONTH_S, Earlier, Recommendation, Stretch, recommend
from sidecar.reports import DriftReport
from sidecar.standing import Alarm, Event

log = logging.getLogger("sidecar.control.retraining")

RETRAIN = "sidecar.retrain.recommended"
ACTION = "recommend_retraining"
_FEATURES_TOLD = 10


class _Told(msgspec.Struct, frozen=True):
    event: str


class _Posted(msgspec.Struct, frozen=True):
    id: str = ""


class Retraining:
    """Looks at one deployment at a time; `wake` tells the outbox."""

    def __init__(
        self,
        store: Store,
        *,
        watches: Mapping[str, DeploymentWatch],
        alarms: AlarmBook,
        announcer: Announcer,
        post: EventPost,
        registry: RegistrySync,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._watches = watches
        self._alarms = alarms
        self._announcer = announcer
        self._post = post
        self._registry = registry
        self._clock = clock
        self._wake = wake

    async def round(self) -> None:
        """Every deployment once. Raises Unavailable when the store is: it is tried again in the next round."""
        for name, watch in list(self._watches.items()):
            await self.look(name, watch)

    async def look(self, name: str, watch: DeploymentWatch) -> Recommendation | None:
        """Recommends where the policy says so; what was recommended."""
        now, policy, alarms = self._clock(), watch.deployment.retrain, self._alarms.open(name)
        # Most of the time nothing stands, and then nothing is read.
        if not isinstance(recommend(policy, alarms, (), (), now), Recommendation):
            return None
        kept = await self._store.carryover.alarms(ended_after=now - policy.window_s)
        broken = [Stretch(each.since, each.ended) for each in kept if _is_broken(each, name)]
        earlier = await self._earlier(name, now - max(MONTH_S, policy.cooldown_s))
        found = recommend(policy, alarms, broken, earlier, now)
        if not isinstance(found, Recommendation):
            return None
        event = self._event(name, watch, found)
        deed = Deed(
            at=now,
            actor="sidecar",
            action=ACTION,
            deployment=name,
            from_version=None,
            to_version=None,
            reason=event.says,
            evidence=None,
            details=msgspec.json.encode({"event": event.id, **event.data}).decode(),
        )
        await self._store.record(deed, self._post.deliveries(event))
        self._announcer.announce(event)
        self._wake()
        log.info("retraining is recommended", extra={"fields": {"deployment": name, "alarm": found.alarm.id}})
        return found

    async def _earlier(self, name: str, since: float) -> list[Earlier]:
        """Recommendations since then, and what became of their delivery."""
        audit, outbox = schema.audit, schema.outbox
        mine = (audit.c.deployment == name) & (audit.c.action == ACTION) & (audit.c.at >= since)
        told = select(outbox.c.payload, outbox.c.done_at, outbox.c.aside_at).where(
            outbox.c.kind == EVENT, outbox.c.payload.contains(RETRAIN)
        )
        made = await self._store.database.rows(select(audit.c.at, audit.c.details).where(mine))
        rows = await self._store.database.rows(told) if made else []
        posted: dict[str, list[tuple[float | None, float | None]]] = {}
        for row in rows:
            posted.setdefault(_id_of(row.payload), []).append((row.done_at, row.aside_at))
        return [_fate(entry.at, posted.get(_event_of(entry.details), [])) for entry in made]

    def _event(self, name: str, watch: DeploymentWatch, found: Recommendation) -> Event:
        report, champion, alarm = watch.drift("training"), watch.state.champion, found.alarm
        left = len(found.leave_out)
        beside = "" if not left else f", without {left} stretch{'es' if left > 1 else ''} in which the feed was broken"
        what = "outcomes are worse than they were" if alarm.kind == "outcome.degraded" else "inputs moved, and it harms"
        return Event(
            type=RETRAIN,
            deployment=name,
            at=found.until,
            says=f"{what}, and no broken feed explains it: train on newer data{beside}",
            id=f"retrain-{alarm.id}-{round(found.until * 1000):x}",
            data={
                "alarm": alarm.id,
                "kind": alarm.kind,
                "severity": alarm.severity,
                "alarm_says": alarm.says,
                "moved_since": _time(alarm.since),
                "model": watch.deployment.model,
                "champion": champion,
                "baseline": report.baseline_digest,
                "data": self._registry.lineage(name, champion).get("data"),
                "window": {"from": _time(found.since), "until": _time(found.until)},
                "leave_out": [{"from": _time(begin), "until": _time(end)} for begin, end in found.leave_out],
                "features": _moved(report),
            },
        )


def _moved(report: DriftReport) -> list[dict[str, object]]:
    """The features that moved most, by their names and distances."""
    moved = sorted((f for f in report.features if f.alarm), key=lambda f: -f.kl_lower)[:_FEATURES_TOLD]
    return [
        {"name": f.name, "psi": f.psi, "kl_lower": f.kl_lower, "cause": f.cause.kind if f.cause is not None else None}
        for f in moved
    ]


def _fate(at: float, rows: list[tuple[float | None, float | None]]) -> Earlier:
    taken = [done for done, _ in rows if done is not None]
    if taken:
        return Earlier(at, min(taken))
    if rows and all(aside is not None for _, aside in rows):
        return Earlier(at, None, lost=True)
    # Without a row there was no receiver, or it was taken so long ago that the row is gone.
    return Earlier(at, None if rows else at)


def _is_broken(alarm: Alarm, name: str) -> bool:
    return alarm.deployment == name and alarm.kind == "data.broken"


def _event_of(details: str) -> str:
    try:
        return msgspec.json.decode(details, type=_Told).event
    except msgspec.MsgspecError:
        return ""


def _id_of(payload: str) -> str:
    try:
        return msgspec.json.decode(payload, type=_Posted).id
    except msgspec.MsgspecError:
        return ""


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(max(0.0, at_s), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
