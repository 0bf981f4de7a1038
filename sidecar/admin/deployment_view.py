"""What the dashboard shows of one deployment, put together from the service's reports.

Keeps: a part that the service refuses becomes the refusal's sentence, and the rest stands; features come by what is
worst. Reads through `Service` only. Called by `dashboard`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from sidecar.admin import overlay
from sidecar.admin.health import Health, Readiness, health, readiness
from sidecar.admin.service import Service
from sidecar.errors import SidecarError
from sidecar.reports import ComparisonReport, DriftReport, FeatureDrift, GateTable
from sidecar.standing import Alarm, ChallengerStatus, DeploymentStatus

Against = Literal["training", "recent"]
T = TypeVar("T")


class ChallengerView(NamedTuple):
    """A challenger; a text in place of a report is why there is none."""

    status: ChallengerStatus
    table: GateTable | str
    comparison: ComparisonReport | str
    readiness: Readiness


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
    """What each screen of a deployment begins with, and the overview tells of it."""

    status: DeploymentStatus
    health: Health
    stories: tuple[StoryView, ...]
    ended: tuple[Alarm, ...]
    challengers: tuple[ChallengerView, ...]
    drift: DriftReport | str
    moved: int


def deployment_view(service: Service, status: DeploymentStatus, alarms: Sequence[Alarm]) -> DeploymentView:
    """`alarms`: of every deployment."""
    mine = [alarm for alarm in alarms if alarm.deployment == status.name]
    open_alarms = [alarm for alarm in mine if alarm.ended is None]
    drift = asked(lambda: service.drift(status.name, "training"))
    return DeploymentView(
        status=status,
        health=health(status, open_alarms, drift),
        stories=_stories(open_alarms),
        ended=tuple(alarm for alarm in mine if alarm.ended is not None),
        challengers=tuple(_challenger(service, status, challenger) for challenger in status.challengers),
        drift=drift,
        moved=0 if isinstance(drift, str) else sum(feature.alarm for feature in drift.features),
    )


def ranked(report: DriftReport) -> list[FeatureDrift]:
    """Features by what is worst: alarm, then the proven size of the move."""
    return sorted(report.features, key=lambda f: (not f.alarm, -f.kl_lower, -(f.psi or 0.0), f.name))


def pictured(report: DriftReport, start: int, most: int) -> tuple[FeatureView, ...]:
    """`most` features from the `start`-th worst on, each with its picture; the prediction before the first."""
    views = [
        FeatureView(feature, overlay.overlay(feature), prediction=False) for feature in ranked(report)[start:][:most]
    ]
    if report.prediction is not None and start == 0:
        views.insert(0, FeatureView(report.prediction, overlay.overlay(report.prediction), prediction=True))
    return tuple(views)


def asked(ask: Callable[[], T]) -> T | str:
    """A report, or the sentence why there is none."""
    try:
        return ask()
    except SidecarError as error:
        return str(error)


def _challenger(service: Service, status: DeploymentStatus, challenger: ChallengerStatus) -> ChallengerView:
    table = asked(lambda: service.gates(status.name, challenger.version))
    return ChallengerView(
        challenger,
        table,
        asked(lambda: service.comparison(status.name, challenger.version)),
        readiness(challenger, table, shadow=status.shadow_enabled),
    )


def _stories(alarms: Sequence[Alarm]) -> tuple[StoryView, ...]:
    """One story for each alarm that nothing else explains; one whose explanation is not shown stands for itself."""
    told = {alarm.id for alarm in alarms if alarm.explained_by is None}
    return tuple(
        StoryView(alarm, tuple(other for other in alarms if other.explained_by == alarm.id))
        for alarm in alarms
        if alarm.id in told or alarm.explained_by not in told
    )
