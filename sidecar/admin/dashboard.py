"""The dashboard's screens: asks the service for what a screen tells, and renders it.

Keeps: every text that came from outside is escaped; no inline script or style, nothing from another host; a part that
the service refuses shows the refusal's sentence and the rest stands. Reads through `Service` only, and reads the whole
audit trail at most once a minute unless a person asks, rehearses gates every five minutes. Called by `screens`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.admin import agreeing, charts
from sidecar.admin.auth import Caller
from sidecar.admin.deployment_view import Against, DeploymentView, asked, deployment_view, pictured, ranked
from sidecar.admin.intent import Intent
from sidecar.admin.lineage import lineage_view
from sidecar.admin.rehearsed import RehearsalView, rehearsal_view
from sidecar.admin.rendering import templates
from sidecar.admin.service import Service
from sidecar.admin.timeline import timeline
from sidecar.admin.tracks import Tracks
from sidecar.errors import SidecarError, Unknown
from sidecar.reports import ComparisonReport, ComparisonShape
from sidecar.standing import AuditCheck, AuditEntry, DeploymentStatus

_HERE = Path(__file__).parent
_TYPES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_VERIFY_EVERY_S = 60.0
_REHEARSE_EVERY_S = 300.0
_MOST_REHEARSALS = 64
_AUDIT_SHOWN, _AUDIT_NEWEST = 50, 6
_AUDIT_STEP = 500
_WORST, _PICTURES = 6, 12
_LABELS = 10


class StaticFile(NamedTuple):
    """A file that the page asks for."""

    content: bytes
    content_type: str
    etag: str


class AuditView(NamedTuple):
    """Entries, the newest first, and what the last verification found. `before`: where older ones go on, or None."""

    entries: tuple[AuditEntry, ...]
    check: AuditCheck | str
    checked_at: float
    before: int | None


class Dashboard:
    """One method per screen; each gives a whole page."""

    def __init__(self, service: Service, clock: Callable[[], float], *, asks: bool = False) -> None:
        self._service = service
        self._clock = clock
        self._asks = asks
        self.tracks = Tracks(service, clock)
        self._templates = templates()
        self._check: AuditCheck | str = "The audit trail was not verified yet."
        self._checked_at: float | None = None
        self._newest = 0
        self._steps: dict[str, tuple[int, tuple[AuditEntry, ...]]] = {}
        self._rehearsals: dict[tuple[str, str, int, int], tuple[float, RehearsalView | str]] = {}

    def frame(self) -> str:
        """A page that asks for a token, and tells nothing."""
        return self._render("frame.html.j2", None)

    def fault(self, caller: Caller, says: str) -> str:
        """A page with one sentence."""
        return self._render("fault.html.j2", caller, says=says)

    async def overview(self, caller: Caller) -> str:
        """Every deployment, and the newest decisions."""
        alarms = self._service.alarms()
        views = [deployment_view(self._service, status, alarms) for status in self._service.deployments()]
        return self._render(
            "overview.html.j2",
            caller,
            waits=self._service.waits(),
            remarks=self._service.remarks(),
            deployments=views,
            attention=sum(view.health.level in ("bad", "warn") for view in views),
            audit=await self._audit(_AUDIT_NEWEST),
        )

    async def deployment(self, caller: Caller, name: str, done: str | None = None) -> str:
        """What is wrong and what to do, then how it came about. `done`: what a form has just done."""
        view = self._view(name)
        alarms = (*(alarm for story in view.stories for alarm in (story.alarm, *story.explains)), *view.ended)
        return self._on(
            "deployment.html.j2",
            caller,
            view,
            "overview",
            done=done,
            timeline=timeline(view.status, await self._transitions(view.status), alarms, self._clock()),
            lineage=lineage_view(view.status),
            worst=() if isinstance(view.drift, str) else pictured(view.drift, 0, _WORST)[: _WORST + 1],
        )

    async def challenger(self, caller: Caller, name: str, version: str, days: int = 7) -> str:
        """Gates and comparison of one challenger, and its gates rehearsed over the last `days`."""
        view = self._view(name)
        found = next((each for each in view.challengers if each.status.version == version), None)
        if found is None:
            raise Unknown(f"{name} has no challenger {version!r} any more.")
        shape = asked(lambda: self._service.comparison_shape(name, version))
        approvals = asked(lambda: self._service.approvals(name, version))
        given = () if isinstance(approvals, str) else approvals
        return self._on(
            "challenger.html.j2",
            caller,
            view,
            f"challenger {version}",
            view=found,
            approvals=given,
            needed=agreeing.needed(found.table)[0],
            agreed=any(each.by == caller.name and each.void is None for each in given),
            rehearsal=await self._rehearsal(view.status, version, days),
            days=days,
            pictures=self._pictures(view.status, found.comparison, shape, version),
            required={} if isinstance(found.table, str) else {gate.name: gate.required for gate in found.table.gates},
        )

    def inputs(self, caller: Caller, name: str, against: Against, start: int) -> str:
        """Features, the worst first, from the `start`-th on."""
        view = self._view(name)
        drift = view.drift if against == "training" else asked(lambda: self._service.drift(name, against))
        return self._on(
            "inputs.html.j2",
            caller,
            view,
            "inputs",
            against=against,
            compared=drift,
            features=() if isinstance(drift, str) else pictured(drift, start, _PICTURES),
            rest=() if isinstance(drift, str) else ranked(drift)[start + _PICTURES :],
            start=start,
            following=start + _PICTURES,
            skew=asked(lambda: self._service.row_skew(name)),
        )

    def feature(self, caller: Caller, name: str, against: Against, feature: str) -> str:
        """One feature: its picture, its cause, how it went."""
        view = self._view(name)
        drift = view.drift if against == "training" else self._service.drift(name, against)
        if isinstance(drift, str):
            raise Unknown(drift)
        for found in pictured(drift, 0, len(drift.features)):
            if found.drift.name == feature:
                break
        else:
            raise Unknown(f"{name} watches no feature of that name.")
        marks = () if found.drift.since is None else (found.drift.since,)
        return self._on(
            "feature.html.j2",
            caller,
            view,
            "inputs",
            against=against,
            compared=drift,
            feature=found,
            went=charts.over_time(self.tracks.drift(name, feature), share=False, marks=marks),
        )

    def outcomes(self, caller: Caller, name: str) -> str:
        """Quality of each version on rows whose outcome is known."""
        view = self._view(name)
        pairs = []
        for challenger in view.status.challengers:
            version = challenger.version
            pairs.append((version, asked(lambda version=version: self._service.paired(name, version))))  # type: ignore[misc]
        return self._on(
            "outcomes.html.j2",
            caller,
            view,
            "outcomes",
            quality=asked(lambda: self._service.performance(name)),
            pairs=pairs,
        )

    async def trail(self, caller: Caller, before: int | None, *, verify: bool) -> str:
        """The audit trail, the newest first. `verify`: read all of it again now."""
        if verify:
            self._checked_at = None
        audit = await self._audit(_AUDIT_SHOWN, before)
        return self._render("trail.html.j2", caller, audit=audit, before=before, verified=verify)

    def confirmation(self, caller: Caller, name: str, intent: Intent) -> str:
        """What a person is about to do."""
        return self._render("confirmation.html.j2", caller, name=name, intent=intent)

    # --- parts -----------------------------------------------------------------------------------------------

    def _view(self, name: str) -> DeploymentView:
        return deployment_view(self._service, self._service.deployment(name), self._service.alarms())

    def _on(self, template: str, caller: Caller, deployment: DeploymentView, tab: str, **told: Any) -> str:
        return self._render(template, caller, deployment=deployment, status=deployment.status, tab=tab, **told)

    def _render(self, template: str, caller: Caller | None, **told: Any) -> str:
        return self._templates.get_template(template).render(
            caller=caller,
            operates=caller is not None and caller.may("operator"),
            overrides=caller is not None and caller.may("admin"),
            now=self._clock(),
            asks=self._asks,
            **told,
        )

    def _pictures(
        self, status: DeploymentStatus, report: ComparisonReport | str, shape: ComparisonShape | str, version: str
    ) -> dict[str, Any]:
        """Charts of a comparison by name; None or empty where there is nothing to draw."""
        champion = status.champion.version
        went = self.tracks.agreement(status.name, champion, version)
        found: dict[str, Any] = {
            "agreement": charts.over_time(went, share=True), "scores": None, "latency": None, "differences": ()
        }  # fmt: skip
        if isinstance(report, str):
            return found
        if not isinstance(shape, str):
            found["differences"] = charts.differences(shape.differences)
            one, two = report.latency_champion, report.latency_challenger
            marks = [
                (one.p50, "p50", "one"), (one.p99, "p99", "one"), (two.p50, "p50", "two"), (two.p99, "p99", "two")
            ]  # fmt: skip
            says = f"Latency of {one.n:,} paired requests, champion {champion} beside challenger {version}"
            found["latency"] = charts.outlines(shape.latency_champion, shape.latency_challenger, marks, says)
            found["scores"] = charts.plane(shape.scores)
        return found

    async def _transitions(self, status: DeploymentStatus) -> tuple[AuditEntry, ...]:
        """The trail's transitions; read again only when there is a new one."""
        known = self._steps.get(status.name)
        if known is None or known[0] != status.generation or status.unrecorded:
            try:
                known = status.generation, await self._service.record.transitions(status.name)
            except SidecarError:
                return () if known is None else known[1]
            self._steps[status.name] = known
        return known[1]

    async def _rehearsal(self, status: DeploymentStatus, version: str, days: int) -> RehearsalView | str:
        """Looks are kept once an hour, so that what they say holds for some minutes."""
        now, key = self._clock(), (status.name, version, days, status.generation)
        made, known = self._rehearsals.get(key, (-1.0, ""))
        if 0.0 <= now - made < _REHEARSE_EVERY_S:
            return known
        try:
            rehearsed = await self._service.record.rehearsal(status.name, version, None, days)
            found: RehearsalView | str = rehearsal_view(rehearsed, version)
        except SidecarError as error:
            found = str(error)
        while len(self._rehearsals) >= _MOST_REHEARSALS:
            del self._rehearsals[next(iter(self._rehearsals))]
        self._rehearsals[key] = now, found
        return found

    async def _audit(self, shown: int, before: int | None = None) -> AuditView:
        now = self._clock()
        try:
            if self._checked_at is None or now - self._checked_at >= _VERIFY_EVERY_S:
                self._checked_at = now
                self._check = await self._service.verify_audit()
                self._newest = max(self._newest, self._check.entries)
            while newer := await self._service.audit(self._newest, _AUDIT_STEP):
                self._newest = newer[-1].seq
            last = self._newest if before is None else min(before - 1, self._newest)
            first = max(0, last - shown)
            entries = await self._service.audit(first, last - first) if last > first else ()
        except SidecarError as error:
            return AuditView((), str(error), now, None)
        return AuditView(tuple(reversed(entries)), self._check, self._checked_at, first + 1 if first else None)


def static_file(name: str) -> StaticFile | None:
    """A file of the page; None for any other name, so that no path is ever made of what a caller sent."""
    content_type = _TYPES.get(name)
    if content_type is None:
        return None
    content = (_HERE / "static" / name).read_bytes()
    return StaticFile(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
