"""The dashboard: a page whose moving part is rendered here and swapped in by static/dashboard.js.

Keeps: every text that came from outside is escaped (Jinja2 autoescape); no inline script or style, nothing from another
host; a part that the service refuses shows the refusal's sentence and the rest stands. Reads through `Service` only,
and reads the whole audit trail at most once a minute. Called by `api`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sidecar.admin import answers, figures, overlay
from sidecar.admin.auth import Caller
from sidecar.admin.lineage import LineageView, headline, lineage_view
from sidecar.admin.service import Service
from sidecar.errors import SidecarError
from sidecar.records import DROP_REASONS, LEG_ERRORS
from sidecar.reports import ComparisonReport, DriftReport, FeatureDrift, GateTable, RowSkewReport, VersionQuality
from sidecar.standing import Alarm, AuditCheck, AuditEntry, ChallengerStatus, DeploymentStatus

_HERE = Path(__file__).parent
_TYPES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_VERIFY_EVERY_S = 60.0
_AUDIT_SHOWN = 12
_AUDIT_STEP = 500
_PICTURES, _MOST_PICTURES = 12, 36  # quiet features beyond the first, moved ones beyond the second: a line each

Against = Literal["training", "recent"]
T = TypeVar("T")


class StaticFile(NamedTuple):
    """A file that the page asks for."""

    content: bytes
    content_type: str
    etag: str


class ChallengerView(NamedTuple):
    """A challenger's card; a text in place of a report is why there is none."""

    status: ChallengerStatus
    table: GateTable | str
    comparison: ComparisonReport | str


class FeatureView(NamedTuple):
    """A feature and its picture."""

    drift: FeatureDrift
    picture: overlay.Overlay | None
    prediction: bool


class StoryView(NamedTuple):
    """An alarm, and the others that it explains."""

    alarm: Alarm
    explains: tuple[Alarm, ...]


class DeploymentView(NamedTuple):
    """All that the page tells about one deployment. `against`: what live rows are compared with."""

    status: DeploymentStatus
    lineage: LineageView
    alarms: tuple[StoryView, ...]
    ended: tuple[Alarm, ...]
    challengers: tuple[ChallengerView, ...]
    against: Against
    quality: tuple[VersionQuality, ...] | str
    drift: DriftReport | str
    skew: RowSkewReport | str
    features: tuple[FeatureView, ...]
    more: tuple[FeatureDrift, ...]


class AuditView(NamedTuple):
    """The newest entries first, and what the last verification found."""

    entries: tuple[AuditEntry, ...]
    check: AuditCheck | str
    checked_at: float


class Dashboard:
    """Asks the service and renders."""

    def __init__(self, service: Service, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock
        self._check: AuditCheck | str = "The audit trail was not verified yet."
        self._checked_at: float | None = None
        self._newest = 0
        templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=figures.in_reading_order,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters.update(
            number=figures.number,
            percent=figures.percent,
            milliseconds=figures.milliseconds,
            duration=figures.duration,
            moment=figures.moment,
            digest=figures.digest,
            headline=headline,
            rfc3339=answers.rfc3339,
        )
        templates.globals.update(
            width=overlay.WIDTH, height=overlay.HEIGHT, interval=overlay.interval, complete=answers.complete
        )
        templates.globals.update(LEG_ERRORS=LEG_ERRORS, DROP_REASONS=DROP_REASONS)
        self._page = templates.get_template("page.html.j2")
        self._fragment = templates.get_template("fragment.html.j2")

    async def page(self, caller: Caller | None, *, asks: bool, against: Against = "training") -> str:
        """The whole page; without a caller its frame only. `asks`: tokens are configured."""
        inner = await self.fragment(caller, against) if caller is not None else None
        return self._page.render(fragment=inner, asks=asks)

    async def fragment(self, caller: Caller, against: Against = "training") -> str:
        """The moving part, with buttons for those who may press them. `against`: what live rows are compared with."""
        now = self._clock()
        alarms = self._service.alarms()
        views = tuple(self._view(status, alarms, against) for status in self._service.deployments())
        return self._fragment.render(
            now=now,
            waits=self._service.waits(),
            caller=caller,
            operates=caller.may("operator"),
            deployments=views,
            open_alarms=sum(alarm.ended is None and alarm.explained_by is None for alarm in alarms),
            audit=await self._audit(now),
        )

    def _view(self, status: DeploymentStatus, alarms: tuple[Alarm, ...], against: Against) -> DeploymentView:
        name = status.name
        mine = [alarm for alarm in alarms if alarm.deployment == name]
        drift = _asked(lambda: self._service.drift(name, against))
        features, more = _features(drift) if isinstance(drift, DriftReport) else ((), ())
        return DeploymentView(
            status=status,
            lineage=lineage_view(status),
            alarms=_stories([alarm for alarm in mine if alarm.ended is None]),
            against=against,
            ended=tuple(alarm for alarm in mine if alarm.ended is not None),
            challengers=tuple(self._challenger(name, challenger) for challenger in status.challengers),
            quality=_asked(lambda: self._service.performance(name)),
            drift=drift,
            skew=_asked(lambda: self._service.row_skew(name)),
            features=features,
            more=more,
        )

    def _challenger(self, name: str, challenger: ChallengerStatus) -> ChallengerView:
        return ChallengerView(
            challenger,
            _asked(lambda: self._service.gates(name, challenger.version)),
            _asked(lambda: self._service.comparison(name, challenger.version)),
        )

    async def _audit(self, now: float) -> AuditView:
        try:
            if self._checked_at is None or now - self._checked_at >= _VERIFY_EVERY_S:
                self._checked_at = now
                self._check = await self._service.verify_audit()
                self._newest = max(self._newest, self._check.entries)
            entries: tuple[AuditEntry, ...] = ()
            while True:
                after = max(0, self._newest - _AUDIT_SHOWN)
                entries = await self._service.audit(after, _AUDIT_STEP)
                if not entries:
                    break
                self._newest = entries[-1].seq
                if len(entries) < _AUDIT_STEP:
                    break
        except SidecarError as error:
            return AuditView((), str(error), now)
        return AuditView(tuple(reversed(entries[-_AUDIT_SHOWN:])), self._check, self._checked_at)


def static_file(name: str) -> StaticFile | None:
    """A file of the page; None for any other name, so that no path is ever made of what a caller sent."""
    content_type = _TYPES.get(name)
    if content_type is None:
        return None
    content = (_HERE / "static" / name).read_bytes()
    return StaticFile(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _stories(alarms: list[Alarm]) -> tuple[StoryView, ...]:
    """One story for each alarm that nothing else explains; one whose explanation is not shown stands for itself."""
    told = {alarm.id for alarm in alarms if alarm.explained_by is None}
    return tuple(
        StoryView(alarm, tuple(other for other in alarms if other.explained_by == alarm.id))
        for alarm in alarms
        if alarm.id in told or alarm.explained_by not in told
    )


def _features(report: DriftReport) -> tuple[tuple[FeatureView, ...], tuple[FeatureDrift, ...]]:
    """The prediction first, then features by what is worst: alarm, then the proven size of the move.

    Returns those with a picture, and the others: three hundred pictures would take longer to draw than to look at.
    """
    ranked = sorted(report.features, key=lambda f: (not f.alarm, -f.kl_lower, -(f.psi or 0.0), f.name))
    pictures = min(max(_PICTURES, sum(feature.alarm for feature in ranked)), _MOST_PICTURES)
    views = [FeatureView(feature, overlay.overlay(feature), prediction=False) for feature in ranked[:pictures]]
    if report.prediction is not None:
        views.insert(0, FeatureView(report.prediction, overlay.overlay(report.prediction), prediction=True))
    return tuple(views), tuple(ranked[pictures:])


def _asked(ask: Callable[[], T]) -> T | str:
    """A report, or the sentence why there is none."""
    try:
        return ask()
    except SidecarError as error:
        return str(error)
