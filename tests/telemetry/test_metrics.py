from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.records import CAPTURE_DROP_REASONS, DROP_REASONS, DURATION_BUCKETS_S, LEG_ERRORS, SACRIFICES
from sidecar.reports import DriftReport, EstimatedQuality, FeatureDrift, GateTable, GateVerdict, OutcomeCounts, Verdict
from sidecar.standing import Alarm, RegistryStatus
from sidecar.telemetry.counts import WorkerTotals
from sidecar.telemetry.drift_metrics import DriftFacts
from sidecar.telemetry.metrics import DeploymentFacts, Facts, SidecarCollector, render
from tests.telemetry.test_counts import counts

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def feature(name: str, **changed: Any) -> FeatureDrift:
    drift = FeatureDrift(
        name=name, kind="numeric", n=100, psi=0.01, psi_noise=None, kl_lower=0.0, e_value=1.0, alarm=False, since=None,
        missing=0.0, wrong_type=0.0, unseen=0.0, cause=None, cells=(), baseline_counts=(), live_counts=(),
    )  # fmt: skip
    return msgspec.structs.replace(drift, **changed)


def report(*features: FeatureDrift, prediction: FeatureDrift | None = None) -> DriftReport:
    return DriftReport(
        against="training", baseline_model="fraud", baseline_version="3", baseline_digest="sha256:00", rows_seen=10,
        rows_sampled=10, undecodable=0, severity="none", features=features, prediction=prediction,
    )  # fmt: skip


def gates(**verdicts: Verdict) -> GateTable:
    rows = tuple(
        GateVerdict(name=name, verdict=verdict, observed=1, required=1, n=1, detail="")
        for name, verdict in verdicts.items()
    )
    return GateTable(deployment="fraud", champion="3", challenger="4", verdict="fail", evidence="sha256:", gates=rows)


def facts(**changed: Any) -> DeploymentFacts:
    reports = changed.pop("drift", ())
    known: dict[str, Any] = {
        "deployment": "fraud",
        "champion": "3",
        "challengers": ("4",),
        "generation": 1,
        "rows_sampled": 0,
        "drift": DriftFacts(deployment="fraud", reports=reports, **changed.pop("inputs", {})),
        "gates": (),
        "agreement": {},
        "transitions": {},
        "outcomes": OutcomeCounts(),
    }
    return DeploymentFacts(**{**known, **changed})


def scrape(*deployments: DeploymentFacts, workers: WorkerTotals | None = None) -> Samples:
    return samples_of(Facts(deployments, (workers or WorkerTotals()).totals()))


def samples_of(told: Facts) -> Samples:
    text = render(SidecarCollector(lambda: told)).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_every_series_of_a_closed_set_is_there_with_zero_before_anything_happened() -> None:
    samples = scrape(facts())
    fraud = {"deployment": "fraud"}
    for outcome in ("ok", *LEG_ERRORS):
        assert value(samples, "sidecar_shadow_requests_total", **fraud, version="4", outcome=outcome) == 0
    for reason in DROP_REASONS:
        assert value(samples, "sidecar_shadow_dropped_total", **fraud, version="4", reason=reason) == 0
    for reason in CAPTURE_DROP_REASONS:
        assert value(samples, "sidecar_capture_dropped_total", reason=reason) == 0
    for what in SACRIFICES:
        assert value(samples, "sidecar_sacrificed_total", what=what) == 0
    for action in ("promote", "rollback"):
        assert value(samples, "sidecar_transitions_total", **fraud, action=action) == 0
    for state in ("matched", "pending", "duplicate", "conflict", "orphan", "late"):
        assert value(samples, "sidecar_outcomes_total", **fraud, state=state) == 0
    for severity in ("info", "warning", "critical"):
        assert value(samples, "sidecar_alarms", **fraud, severity=severity) == 0
    assert value(samples, "sidecar_requests_total", **fraud, version="3", code="200") == 0
    assert value(samples, "sidecar_request_duration_seconds_count", **fraud, version="3") == 0
    assert value(samples, "sidecar_overhead_seconds_count") == 0
    assert value(samples, "sidecar_rows_sampled_total", **fraud) == 0
    assert value(samples, "sidecar_champion_info", **fraud, version="3") == 1
    assert math.isnan(value(samples, "sidecar_agreement_ratio", **fraud, challenger="4"))


def test_worker_counters_become_counters_and_cumulative_histograms() -> None:
    workers = WorkerTotals()
    buckets = [1, 2, 3] + [0] * (len(DURATION_BUCKETS_S) - 3) + [4]
    workers.update(counts("a", 10, pressure=0.5, loop_lag_s=0.25, sacrificed={"keep_alive": 3}))
    workers.update(counts("b", 0, overhead_count=10, overhead_seconds=70.0, overhead_buckets=buckets))
    samples = scrape(facts(), workers=workers)
    assert value(samples, "sidecar_requests_total", deployment="fraud", version="3", code="200") == 10
    edges = {"0.0001": 11, "0.00025": 13, "0.0005": 16, "60.0": 16, "+Inf": 20}
    for edge, count in edges.items():
        assert value(samples, "sidecar_overhead_seconds_bucket", le=edge) == count
    assert value(samples, "sidecar_overhead_seconds_count") == 20
    assert value(samples, "sidecar_overhead_seconds_sum") == 70.5
    assert value(samples, "sidecar_pressure") == 0.5
    assert value(samples, "sidecar_loop_lag_seconds") == 0.25
    assert value(samples, "sidecar_sacrificed_total", what="keep_alive") == 3
    shadow = {"deployment": "fraud", "version": "4"}
    assert value(samples, "sidecar_shadow_requests_total", **shadow, outcome="status_5xx") == 2
    assert value(samples, "sidecar_shadow_requests_total", **shadow, outcome="ok") == 10 - 2
    assert value(samples, "sidecar_shadow_dropped_total", **shadow, reason="queue_full") == 4
    assert value(samples, "sidecar_refused_total", reason="headers") == 2


def test_what_the_log_and_the_collector_lost_is_told_by_reason_with_zeros_for_the_others() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 10, access_log_dropped={"buffer_full": 3}))
    totals = workers.totals()
    told = Facts((), totals, spans={"exported": 5})
    samples = samples_of(told)

    for reason, lines in (("buffer_full", 3), ("write_failed", 0), ("shutting_down", 0)):
        assert value(samples, "sidecar_access_log_dropped_total", reason=reason) == lines
    for outcome, spans in (("exported", 5), ("failed", 0), ("dropped", 0)):
        assert value(samples, "sidecar_spans_total", outcome=outcome) == spans


def test_gates_are_numbers_and_a_gate_that_is_off_has_none() -> None:
    samples = scrape(facts(gates=(gates(pairs="pass", duration="insufficient", inputs="fail", lineage="off"),)))
    found = {dict(labels)["gate"]: number for (name, labels), number in samples.items() if name == "sidecar_gate"}
    assert found == {"pairs": 1, "duration": 0, "inputs": -1}


def test_standing_facts_are_passed_through() -> None:
    raised = Alarm(
        id="1", deployment="fraud", kind="data.broken", severity="critical", says="", action="", since=0.0, owner="",
        acknowledged=False,
    )  # fmt: skip
    samples = scrape(
        facts(
            rows_sampled=99,
            agreement={"4": 0.97},
            transitions={"promote": 2},
            outcomes=OutcomeCounts(matched=5, orphan=1),
            alarms=(raised, msgspec.structs.replace(raised, ended=1.0)),
        )
    )
    assert value(samples, "sidecar_rows_sampled_total", deployment="fraud") == 99
    assert value(samples, "sidecar_agreement_ratio", deployment="fraud", challenger="4") == 0.97
    assert value(samples, "sidecar_transitions_total", deployment="fraud", action="promote") == 2
    assert value(samples, "sidecar_outcomes_total", deployment="fraud", state="orphan") == 1
    assert value(samples, "sidecar_alarms", deployment="fraud", severity="critical") == 1


def test_at_most_64_features_are_shown_the_worst_first_and_the_rest_is_counted() -> None:
    quiet = [feature(f"quiet_{index:03}", psi=None) for index in range(200)]
    moved = [feature("moved", alarm=True, kl_lower=0.4, psi=1.5), feature("bigger", alarm=True, kl_lower=0.9)]
    samples = scrape(facts(drift=(report(*quiet, *moved, prediction=feature("score", alarm=True)),)))
    shown = {dict(labels)["feature"] for name, labels in samples if name == "sidecar_drift_alarm"}
    assert len(shown) == 64
    assert {"moved", "bigger", "quiet_000"} <= shown
    labels = {"deployment": "fraud", "against": "training"}
    assert value(samples, "sidecar_drift_features_omitted", **labels) == 202 - 64
    assert value(samples, "sidecar_drift_psi", **labels, feature="moved") == 1.5
    assert math.isnan(value(samples, "sidecar_drift_psi", **labels, feature="quiet_000"))
    assert value(samples, "sidecar_drift_kl_lower", **labels, feature="bigger") == 0.9
    assert value(samples, "sidecar_prediction_alarm", **labels) == 1


@pytest.mark.parametrize(
    "name", ['a"} 1\nfake_total 7', "back\\slash", "new\nline", "é漢\u202e", "{}=,", "", "a\rb\x85\u2028c", "x" * 512]
)
def test_hostile_label_values_come_back_as_they_were_and_add_no_series(name: str) -> None:
    samples = scrape(facts(drift=(report(feature(name)),)))
    assert value(samples, "sidecar_drift_psi", deployment="fraud", against="training", feature=name) == 0.01
    assert "fake_total" not in {series for series, _ in samples}


def test_a_name_that_utf8_cannot_write_does_not_break_the_page() -> None:
    samples = scrape(facts(drift=(report(feature("amount\ud800"), feature("amount\ud801")),)))
    shown = {dict(labels)["feature"] for series, labels in samples if series == "sidecar_drift_psi"}
    assert shown == {"amount\\ud800", "amount\\ud801"}


def test_what_has_no_series_of_its_own_is_summed_up_so_that_nothing_hides() -> None:
    moved = [feature(f"f{index}", alarm=True, kl_lower=index / 10) for index in range(1, 6)]
    samples = scrape(facts(drift=(report(*moved),), inputs={"exported": 2}))
    labels = {"deployment": "fraud", "against": "training"}
    shown = {dict(found)["feature"] for series, found in samples if series == "sidecar_drift_kl_lower"}
    assert shown == {"f5", "f4"}
    assert value(samples, "sidecar_drift_features_omitted", **labels) == 3
    assert value(samples, "sidecar_drift_rest_alarms", **labels) == 3
    assert value(samples, "sidecar_drift_rest_kl_lower", **labels) == 0.3


def test_quiet_features_keep_their_series_whatever_noise_their_psi_has() -> None:
    def shown(psis: list[float]) -> set[str]:
        features = [feature(f"f{index}", psi=psi) for index, psi in enumerate(psis)]
        samples = scrape(facts(drift=(report(*features),), inputs={"exported": 2}))
        return {dict(found)["feature"] for series, found in samples if series == "sidecar_drift_psi"}

    assert shown([0.1, 0.2, 0.3]) == shown([0.3, 0.1, 0.9])


def test_with_a_bound_of_zero_only_the_sums_are_told() -> None:
    samples = scrape(facts(drift=(report(feature("a", alarm=True)),), inputs={"exported": 0}))
    assert not [series for series, _ in samples if series == "sidecar_drift_psi"]
    assert value(samples, "sidecar_drift_rest_alarms", deployment="fraud", against="training") == 1


def test_an_estimate_that_is_refused_is_not_a_number() -> None:
    refused = EstimatedQuality(n=9, metrics={}, low={}, high={}, trained={}, loss=None, refused="out of support")
    found = scrape(facts(inputs={"estimated": refused, "rows_compared": 7, "differing_features": 2}))
    assert math.isnan(value(found, "sidecar_estimated_accuracy", deployment="fraud"))
    assert value(found, "sidecar_rows_compared_total", deployment="fraud") == 7
    assert value(found, "sidecar_row_skew_features", deployment="fraud") == 2
    known = scrape(facts(inputs={"estimated": msgspec.structs.replace(refused, metrics={"accuracy": 0.9})}))
    assert value(known, "sidecar_estimated_accuracy", deployment="fraud") == 0.9


def test_reasons_that_nobody_listed_are_still_shown() -> None:
    workers = WorkerTotals()
    workers.update(counts("a", 1, capture_dropped={"meteor": 3}))
    assert value(scrape(workers=workers), "sidecar_capture_dropped_total", reason="meteor") == 3


def test_bodies_that_could_not_be_read_are_told_by_reason_with_zeros_for_the_others() -> None:
    samples = scrape(facts(undecodable={"json": 3, "answer_shape": 2}))
    counted = {reason: value(samples, "sidecar_undecodable_total", deployment="fraud", reason=reason) for reason in (
        "json", "answer_shape", "encoding", "answer_encoding", "shared_memory", "too_large"
    )}  # fmt: skip
    assert counted == {
        "json": 3, "answer_shape": 2, "encoding": 0, "answer_encoding": 0, "shared_memory": 0, "too_large": 0,
    }  # fmt: skip


def test_outcomes_that_belong_to_nobody_are_told_apart_from_a_deployments_own() -> None:
    page = render(
        SidecarCollector(
            lambda: Facts(
                (facts(outcomes=OutcomeCounts(matched=5)),),
                WorkerTotals().totals(),
                observation_failures=7,
                decisions_dropped=8,
                events_waiting=3,
                events_dead=2,
                outcomes_unknown=OutcomeCounts(orphan=2),
            )
        )
    ).decode()
    assert 'sidecar_outcomes_total{deployment="fraud",state="matched"} 5.0' in page
    assert 'sidecar_outcomes_total{deployment="",state="orphan"} 2.0' in page
    assert "sidecar_observation_failures_total 7.0" in page
    assert "sidecar_decisions_dropped_total 8.0" in page
    assert 'sidecar_events_undelivered{state="waiting"} 3.0' in page
    assert 'sidecar_events_undelivered{state="dead"} 2.0' in page


def test_every_reason_of_the_readers_is_in_the_closed_set() -> None:
    from typing import get_args

    from sidecar.payload.undecodable import Reason
    from sidecar.telemetry.metrics import _REASONS

    assert set(get_args(Reason)) == set(_REASONS)


@pytest.mark.parametrize("diverged", [False, True])
def test_a_registry_that_names_another_champion_shows(diverged: bool) -> None:
    samples = scrape(facts(registry=RegistryStatus(reachable=True, diverged=diverged)))
    assert samples["sidecar_registry_diverged", frozenset({("deployment", "fraud")})] == float(diverged)


@pytest.mark.parametrize(
    ("status", "reachable", "age_s"),
    [
        (RegistryStatus(reachable=None, diverged=False), math.nan, math.nan),
        (RegistryStatus(reachable=False, diverged=False, age_s=None), 0.0, math.nan),
        (RegistryStatus(reachable=False, diverged=False, age_s=3_600.5), 0.0, 3_600.5),
        (RegistryStatus(reachable=True, diverged=False, age_s=0.0), 1.0, 0.0),
    ],
)
def test_a_registry_shows_whether_it_answers_and_how_old_its_last_word_is(
    status: RegistryStatus, reachable: float, age_s: float
) -> None:
    samples = scrape(facts(registry=status))
    assert value(samples, "sidecar_registry_reachable", deployment="fraud") == pytest.approx(reachable, nan_ok=True)
    assert value(samples, "sidecar_registry_age_seconds", deployment="fraud") == pytest.approx(age_s, nan_ok=True)
