"""The metrics page: a collector that reads plain reports when it is asked; the objects themselves know no metrics.

Keeps: every series of a closed label set is there from the start with 0, so that absent never looks like zero; label
values are escaped by the library. Feature values never come here; what is told of inputs is in `drift_metrics`.
Does not: gather the facts; `app` hands in a callable that does. Served by `admin` through `render`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from sidecar.records import (
    ACCESS_LOG_DROP_REASONS,
    CAPTURE_DROP_REASONS,
    DROP_REASONS,
    DURATION_BUCKETS_S,
    LEG_ERRORS,
    SACRIFICES,
)
from sidecar.reports import GateTable, OutcomeCounts
from sidecar.standing import Alarm, RegistryStatus
from sidecar.telemetry.counts import Durations, RequestKey, Totals
from sidecar.telemetry.drift_metrics import DriftFacts, drift_families
from sidecar.telemetry.quality_metrics import QualityFacts, quality_families

_TRANSITIONS = ("promote", "override", "rollback", "canary_start", "canary_step", "canary_stop")
_SEVERITIES = ("info", "warning", "critical")
_REASONS = ("encoding", "json", "shape", "protocol", "too_large", "shared_memory", "path")  # payload.undecodable.Reason
_UNREAD = (*_REASONS, *(f"answer_{reason}" for reason in _REASONS))
_SPAN_OUTCOMES = ("exported", "failed", "dropped")
_GATE_VALUES = {"pass": 1, "insufficient": 0, "fail": -1}
_EDGES = (*(repr(edge) for edge in DURATION_BUCKETS_S), "+Inf")


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the control side knows of one deployment at the moment of a scrape.

    Attributes:
        agreement: challenger -> share of pairs that agree, None while unknown.
        transitions: action -> how many.
        canary: the version that answers a share of the requests, and that share; None without one.
        outcomes: what became of outcomes so far.
        registry: whether it answers, and whether the champion's alias is elsewhere there.
        undecodable: reason -> bodies that could not be read; an answer's reasons begin with `answer_`.
        quality: what is known of the versions in play by outcomes; None where nobody has asked.
    """

    deployment: str
    champion: str
    challengers: tuple[str, ...]
    generation: int
    rows_sampled: int
    drift: DriftFacts
    gates: tuple[GateTable, ...]
    agreement: Mapping[str, float | None]
    transitions: Mapping[str, int]
    outcomes: OutcomeCounts
    registry: RegistryStatus = RegistryStatus(reachable=None, diverged=False)
    undecodable: Mapping[str, int] = {}
    alarms: tuple[Alarm, ...] = ()
    quality: QualityFacts | None = None
    canary: tuple[str, float] | None = None


class Facts(msgspec.Struct, frozen=True):
    """All that a scrape reads."""

    deployments: tuple[DeploymentFacts, ...]
    totals: Totals
    observation_failures: int = 0
    decisions_dropped: int = 0
    decisions_expired: int = 0
    unrecorded: int = 0
    reserve_bytes: int = 0
    events_waiting: int = 0
    events_dead: int = 0
    outcomes_unknown: OutcomeCounts = OutcomeCounts()
    spans: Mapping[str, int] = {}
    ingested: Mapping[str, Mapping[str, int]] = {}
    admin_refused: Mapping[str, int] = {}


class SidecarCollector(Collector):
    """Turns facts into metric families; `read` is asked once a scrape."""

    def __init__(self, read: Callable[[], Facts]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """All families."""
        facts = self._read()
        yield from _requests(facts)
        yield from _shadows(facts)
        yield from _workers(facts.totals)
        yield from drift_families([each.drift for each in facts.deployments])
        yield from quality_families([each.quality for each in facts.deployments if each.quality is not None])
        yield from _standing(facts.deployments)
        yield from _control(facts)


def render(collector: Collector) -> bytes:
    """The page in Prometheus' text format 0.0.4."""
    return generate_latest(collector)


def _requests(facts: Facts) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "sidecar_requests", "Requests answered to callers.", labels=("deployment", "version", "code")
    )
    durations = HistogramMetricFamily(
        "sidecar_request_duration_seconds",
        "From a request's first byte to its answer's last.",
        labels=("deployment", "version"),
    )
    known = {RequestKey(each.deployment, each.champion, 200): Durations() for each in facts.deployments}
    known |= facts.totals.requests
    versions: dict[tuple[str, str], Durations] = {}
    for key, counted in known.items():
        requests.add_metric((key.deployment, key.version, str(key.code)), counted.count)
        whole = versions.setdefault((key.deployment, key.version), Durations())
        whole.add(counted.count, counted.seconds, counted.buckets)
    for labels, whole in versions.items():
        durations.add_metric(labels, _cumulative(whole), whole.seconds)
    overhead = HistogramMetricFamily("sidecar_overhead_seconds", "Time spent in the sidecar itself, a request.")
    overhead.add_metric((), _cumulative(facts.totals.overhead), facts.totals.overhead.seconds)
    yield from (requests, durations, overhead)


def _shadows(facts: Facts) -> Iterator[Metric]:
    sent = CounterMetricFamily(
        "sidecar_shadow_requests",
        "Copies whose sending began, by how they ended.",
        labels=("deployment", "version", "outcome"),
    )
    dropped = CounterMetricFamily(
        "sidecar_shadow_dropped", "Copies due and never sent.", labels=("deployment", "version", "reason")
    )
    known: dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]] = {}
    pairs = [(each.deployment, version) for each in facts.deployments for version in each.challengers]
    for pair in (*pairs, *((key.deployment, key.version) for key in facts.totals.shadows)):
        known.setdefault(pair, (dict.fromkeys(("ok", *LEG_ERRORS), 0), dict.fromkeys(DROP_REASONS, 0)))
    for key, copies in facts.totals.shadows.items():
        outcomes, reasons = known[key.deployment, key.version]
        failed = copies.errors.get("status_4xx", 0) + copies.errors.get("status_5xx", 0)
        outcomes["ok"] += max(0, copies.answered - failed)  # an answer of any status counts as answered
        for kind, count in copies.errors.items():
            outcomes[kind] = outcomes.get(kind, 0) + count
        for reason, count in copies.dropped.items():
            reasons[reason] = reasons.get(reason, 0) + count
    for (deployment, version), (outcomes, reasons) in known.items():
        for outcome, count in outcomes.items():
            sent.add_metric((deployment, version, outcome), count)
        for reason, count in reasons.items():
            dropped.add_metric((deployment, version, reason), count)
    yield from (sent, dropped)


def _workers(totals: Totals) -> Iterator[Metric]:
    captures = CounterMetricFamily("sidecar_capture_dropped", "Exchanges never offered to control.", labels=("reason",))
    for reason, count in (dict.fromkeys(CAPTURE_DROP_REASONS, 0) | totals.capture_dropped).items():
        captures.add_metric((reason,), count)
    refused = CounterMetricFamily("sidecar_refused", "Requests that the sidecar itself refused.", labels=("reason",))
    for reason, count in totals.refused.items():
        refused.add_metric((reason,), count)
    sacrificed = CounterMetricFamily(
        "sidecar_sacrificed", "What callers lost to an overloaded worker.", labels=("what",)
    )
    for what, count in (dict.fromkeys(SACRIFICES, 0) | totals.sacrificed).items():
        sacrificed.add_metric((what,), count)
    unlogged = CounterMetricFamily(
        "sidecar_access_log_dropped", "Lines of the access log never written.", labels=("reason",)
    )
    for reason, count in (dict.fromkeys(ACCESS_LOG_DROP_REASONS, 0) | totals.access_log_dropped).items():
        unlogged.add_metric((reason,), count)
    yield from (captures, refused, sacrificed, unlogged)
    yield CounterMetricFamily("sidecar_repeats", "Requests sent again on a fresh connection.", value=totals.repeats)
    yield GaugeMetricFamily("sidecar_workers", "Proxy workers that report.", value=totals.workers)
    yield GaugeMetricFamily("sidecar_connections", "Callers' open connections.", value=totals.connections)
    yield GaugeMetricFamily("sidecar_inflight_requests", "Requests being answered.", value=totals.inflight)
    yield GaugeMetricFamily("sidecar_held_bytes", "Bytes held for copies and exchanges.", value=totals.held_bytes)
    yield GaugeMetricFamily("sidecar_pressure", "0 to 1: the hardest pressed worker's.", value=totals.pressure)
    yield GaugeMetricFamily("sidecar_loop_lag_seconds", "How late a loop ran at worst lately.", value=totals.loop_lag_s)


def _standing(deployments: Sequence[DeploymentFacts]) -> Iterator[Metric]:
    rows = CounterMetricFamily("sidecar_rows_sampled", "Feature rows watched.", labels=("deployment",))
    agreement = GaugeMetricFamily(
        "sidecar_agreement_ratio", "Share of pairs that agree.", labels=("deployment", "challenger")
    )
    gate = GaugeMetricFamily(
        "sidecar_gate", "1 pass, 0 insufficient, -1 fail.", labels=("deployment", "challenger", "gate")
    )
    champion = GaugeMetricFamily("sidecar_champion_info", "The version that answers.", labels=("deployment", "version"))
    generation = GaugeMetricFamily("sidecar_generation", "Transitions so far.", labels=("deployment",))
    transitions = CounterMetricFamily(
        "sidecar_transitions", "Promotions and rollbacks.", labels=("deployment", "action")
    )
    diverged = GaugeMetricFamily(
        "sidecar_registry_diverged", "1 while the registry names another champion.", labels=("deployment",)
    )
    reachable = GaugeMetricFamily(
        "sidecar_registry_reachable", "1 while the registry gives usable answers.", labels=("deployment",)
    )
    age = GaugeMetricFamily(
        "sidecar_registry_age_seconds", "Since the registry last confirmed what is known.", labels=("deployment",)
    )
    alarms = GaugeMetricFamily("sidecar_alarms", "Open alarms.", labels=("deployment", "severity"))
    weight = GaugeMetricFamily(
        "sidecar_canary_weight", "Share of the requests that a canary answers.", labels=("deployment", "challenger")
    )
    for each in deployments:
        name = each.deployment
        rows.add_metric((name,), each.rows_sampled)
        champion.add_metric((name, each.champion), 1)
        generation.add_metric((name,), each.generation)
        diverged.add_metric((name,), int(each.registry.diverged))
        reachable.add_metric((name,), _number(each.registry.reachable))
        age.add_metric((name,), _number(each.registry.age_s))
        for challenger in each.challengers:
            agreement.add_metric((name, challenger), _number(each.agreement.get(challenger)))
            weight.add_metric((name, challenger), dict([each.canary] if each.canary else ()).get(challenger, 0.0))
        for table in each.gates:
            for verdict in table.gates:
                if verdict.verdict in _GATE_VALUES:  # a gate that is off has no value
                    gate.add_metric((name, table.challenger, verdict.name), _GATE_VALUES[verdict.verdict])
        for action, count in (dict.fromkeys(_TRANSITIONS, 0) | dict(each.transitions)).items():
            transitions.add_metric((name, action), count)
        for severity in _SEVERITIES:
            here = sum(alarm.ended is None and alarm.severity == severity for alarm in each.alarms)
            alarms.add_metric((name, severity), here)
    yield from (rows, agreement, gate, champion, generation, transitions, diverged, reachable, age, alarms, weight)


def _control(facts: Facts) -> Iterator[Metric]:
    outcomes = CounterMetricFamily(
        "sidecar_outcomes",
        'Outcomes by what they met; deployment "" where nobody knows whose they are.',
        labels=("deployment", "state"),
    )
    undecodable = CounterMetricFamily(
        "sidecar_undecodable", "Bodies on the copy that could not be read.", labels=("deployment", "reason")
    )
    counted = [(each.deployment, each.outcomes) for each in facts.deployments] + [("", facts.outcomes_unknown)]
    for name, counts in counted:
        for state in OutcomeCounts.__struct_fields__:
            outcomes.add_metric((name, state), getattr(counts, state))
    for each in facts.deployments:
        for reason, count in (dict.fromkeys(_UNREAD, 0) | dict(each.undecodable)).items():
            undecodable.add_metric((each.deployment, reason), count)
    yield from (outcomes, undecodable)
    yield CounterMetricFamily(
        "sidecar_observation_failures", "Steps of observation that failed.", value=facts.observation_failures
    )
    spans = CounterMetricFamily("sidecar_spans", "Spans made for the collector of traces.", labels=("outcome",))
    for outcome, count in (dict.fromkeys(_SPAN_OUTCOMES, 0) | dict(facts.spans)).items():
        spans.add_metric((outcome,), count)
    yield spans
    refused = CounterMetricFamily(
        "sidecar_admin_refused", "Calls of the admin API refused before their handler.", labels=("reason",)
    )
    for reason, count in facts.admin_refused.items():
        refused.add_metric((reason,), count)
    yield refused
    ingested = CounterMetricFamily(
        "sidecar_ingested_halves",
        'Events of payload loggers by what became of them; deployment "" where they are nobody\'s.',
        labels=("deployment", "result"),
    )
    for name, results in facts.ingested.items():
        for result, count in results.items():
            ingested.add_metric((name, result), count)
    yield ingested
    yield CounterMetricFamily(
        "sidecar_decisions_dropped", "Rows not kept for their outcome.", value=facts.decisions_dropped
    )
    undelivered = GaugeMetricFamily("sidecar_events_undelivered", "Events that no receiver took.", labels=("state",))
    undelivered.add_metric(("waiting",), facts.events_waiting)
    undelivered.add_metric(("dead",), facts.events_dead)
    yield undelivered
    yield CounterMetricFamily(
        "sidecar_decisions_expired", "Rows deleted for the sake of the file's size.", value=facts.decisions_expired
    )
    yield GaugeMetricFamily(
        "sidecar_unrecorded_transitions", "Rollbacks that serve and wait for the store.", value=facts.unrecorded
    )
    yield GaugeMetricFamily(
        "sidecar_reserve_bytes", "Space kept on the state folder's disk for a rollback.", value=facts.reserve_bytes
    )


def _number(value: float | None) -> float:
    """NaN is how Prometheus says "not known"."""
    return math.nan if value is None else value


def _cumulative(durations: Durations) -> list[tuple[str, float]]:
    return list(zip(_EDGES, (float(total) for total in accumulate(durations.buckets)), strict=True))
