"""The metric families about inputs and predictions, within a bound on their number.

Keeps: at most so many features of a deployment have series of their own, the worst first (alarm, then the proven size
of the move); the rest is summed up, so that nothing bad hides behind the bound. Quiet features keep their places from
scrape to scrape. Names are written so that the page can always be encoded; feature values never come here.
Called by `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.reports import DriftReport, EstimatedQuality, FeatureDrift


class DriftFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one deployment's inputs. `exported`: how many features have series of their own."""

    deployment: str
    reports: tuple[DriftReport, ...]
    exported: int = 64
    estimated: EstimatedQuality | None = None
    rows_compared: int = 0
    differing_features: int = 0


def drift_families(deployments: Sequence[DriftFacts]) -> Iterator[Metric]:
    """All families about drift."""
    labels = ("deployment", "against", "feature")
    psi = GaugeMetricFamily("sidecar_drift_psi", "Population stability index, live against baseline.", labels=labels)
    kl_lower = GaugeMetricFamily("sidecar_drift_kl_lower", "Anytime-valid lower bound on KL, nats.", labels=labels)
    alarm = GaugeMetricFamily("sidecar_drift_alarm", "1 while the feature's alarm is on.", labels=labels)
    said = ("deployment", "against")
    prediction_psi = GaugeMetricFamily("sidecar_prediction_psi", "PSI of the champion's predictions.", labels=said)
    prediction_kl = GaugeMetricFamily("sidecar_prediction_kl_lower", "Lower bound on their KL, nats.", labels=said)
    prediction_alarm = GaugeMetricFamily("sidecar_prediction_alarm", "1 while predictions moved.", labels=said)
    weighted = GaugeMetricFamily("sidecar_drift_weighted", "All features' bounds by importance, nats.", labels=said)
    omitted = GaugeMetricFamily("sidecar_drift_features_omitted", "Features without their own series.", labels=said)
    rest_alarms = GaugeMetricFamily("sidecar_drift_rest_alarms", "Alarms among the omitted features.", labels=said)
    rest_kl = GaugeMetricFamily("sidecar_drift_rest_kl_lower", "Largest bound among the omitted.", labels=said)
    for each in deployments:
        for report in each.reports:
            pair = (written(each.deployment), report.against)
            ranked = sorted(report.features, key=_badness)
            for feature in ranked[: each.exported]:
                series = (*pair, written(feature.name))
                psi.add_metric(series, _number(feature.psi))
                kl_lower.add_metric(series, feature.kl_lower)
                alarm.add_metric(series, int(feature.alarm))
            rest = ranked[each.exported :]
            weighted.add_metric(pair, _number(report.weighted))
            omitted.add_metric(pair, len(rest))
            rest_alarms.add_metric(pair, sum(feature.alarm for feature in rest))
            rest_kl.add_metric(pair, max((feature.kl_lower for feature in rest), default=0.0))
            if report.prediction is not None:
                prediction_psi.add_metric(pair, _number(report.prediction.psi))
                prediction_kl.add_metric(pair, report.prediction.kl_lower)
                prediction_alarm.add_metric(pair, int(report.prediction.alarm))
    yield from (psi, kl_lower, alarm, weighted, prediction_psi, prediction_kl, prediction_alarm)
    yield from (omitted, rest_alarms, rest_kl)
    yield from _truths(deployments)


def _truths(deployments: Sequence[DriftFacts]) -> Iterator[Metric]:
    accuracy = GaugeMetricFamily(
        "sidecar_estimated_accuracy", "Of the champion, without outcomes; NaN where refused.", labels=("deployment",)
    )
    compared = CounterMetricFamily(
        "sidecar_rows_compared", "Live rows compared with an offline pipeline's.", labels=("deployment",)
    )
    differing = GaugeMetricFamily(
        "sidecar_row_skew_features", "Features whose rows differ for certain.", labels=("deployment",)
    )
    for each in deployments:
        estimated = each.estimated.metrics.get("accuracy") if each.estimated is not None else None
        accuracy.add_metric((written(each.deployment),), _number(estimated))
        compared.add_metric((written(each.deployment),), each.rows_compared)
        differing.add_metric((written(each.deployment),), each.differing_features)
    yield from (accuracy, compared, differing)


def written(name: str) -> str:
    """A name as a label value; what UTF-8 cannot write is spelt out, so that names stay different.

    >>> written("amount" + chr(0xD800)) == "amount" + chr(92) + "ud800"
    True
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _badness(feature: FeatureDrift) -> tuple[bool, float, str]:
    return (not feature.alarm, -feature.kl_lower, feature.name)


def _number(value: float | None) -> float:
    """NaN is how Prometheus says "not known"."""
    return math.nan if value is None else value
