"""Metrics of what is known of versions: quality by outcomes, the champion's own noise, evidence that is missing.

Keeps: a series for every metric of every version in play from the start, NaN while it is not known. Pure.
Called by: the collector in `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric

from sidecar.reports import VersionQuality

QUALITY_METRICS = (
    "accuracy", "precision", "recall", "specificity", "f1", "brier", "log_loss", "auc", "ece", "mae", "rmse",
)  # fmt: skip


class ChallengerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one challenger's evidence."""

    challenger: str
    noise_floor: float | None
    lost: int
    labels_wanted: int


class QualityFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one deployment's versions."""

    deployment: str
    versions: tuple[VersionQuality, ...] = ()
    challengers: tuple[ChallengerFacts, ...] = ()


def quality_families(facts: Iterable[QualityFacts]) -> Iterator[Metric]:
    """All families."""
    quality = GaugeMetricFamily(
        "sidecar_quality", "A version's quality on rows with an outcome.", labels=("deployment", "version", "metric")
    )
    coverage = GaugeMetricFamily(
        "sidecar_outcome_coverage_ratio",
        "Share of a version's predictions whose outcome came.",
        labels=("deployment", "version"),
    )
    noise = GaugeMetricFamily(
        "sidecar_noise_floor_ratio",
        "Share of rows on which the champion, asked again, says something else.",
        labels=("deployment", "challenger"),
    )
    lost = GaugeMetricFamily(
        "sidecar_copies_lost", "Copies that ended and were never compared.", labels=("deployment", "challenger")
    )
    wanted = GaugeMetricFamily(
        "sidecar_label_queue_rows",
        "Rows that are decided differently, kept, and without an outcome.",
        labels=("deployment", "challenger"),
    )
    for each in facts:
        for version in each.versions:
            for metric in QUALITY_METRICS:
                quality.add_metric((each.deployment, version.version, metric), version.metrics.get(metric, math.nan))
            coverage.add_metric(
                (each.deployment, version.version), math.nan if version.coverage is None else version.coverage
            )
        for known in each.challengers:
            labels = (each.deployment, known.challenger)
            noise.add_metric(labels, math.nan if known.noise_floor is None else known.noise_floor)
            lost.add_metric(labels, known.lost)
            wanted.add_metric(labels, known.labels_wanted)
    yield from (quality, coverage, noise, lost, wanted)
