from __future__ import annotations

import math

from sidecar.reports import VersionQuality
from sidecar.telemetry.quality_metrics import QUALITY_METRICS, ChallengerFacts, QualityFacts, quality_families


def samples(facts: QualityFacts) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in quality_families([facts])
        for sample in family.samples
    }


def test_every_metric_of_every_version_has_a_series_and_what_is_not_known_is_nan() -> None:
    known = VersionQuality(version="3", predicted=10, matched=5, coverage=0.5, metrics={"accuracy": 0.9, "auc": 0.8})
    new = VersionQuality(version="4", predicted=0, matched=0, coverage=None, metrics={})
    found = samples(QualityFacts(deployment="fraud", versions=(known, new)))
    assert found["sidecar_quality", "fraud", "3", "accuracy"] == 0.9
    assert sum(name == "sidecar_quality" for name, *_ in found) == 2 * len(QUALITY_METRICS)
    assert sum(math.isnan(value) for (name, *_), value in found.items() if name == "sidecar_quality") == 20
    assert found["sidecar_outcome_coverage_ratio", "fraud", "3"] == 0.5
    assert math.isnan(found["sidecar_outcome_coverage_ratio", "fraud", "4"])


def test_what_is_missing_of_a_challengers_evidence_is_told() -> None:
    asked = ChallengerFacts(challenger="4", noise_floor=0.02, lost=3, labels_wanted=17)
    never = ChallengerFacts(challenger="5", noise_floor=None, lost=0, labels_wanted=0)
    found = samples(QualityFacts(deployment="fraud", challengers=(asked, never)))
    assert found["sidecar_noise_floor_ratio", "fraud", "4"] == 0.02
    assert math.isnan(found["sidecar_noise_floor_ratio", "fraud", "5"])
    assert found["sidecar_copies_lost", "fraud", "4"] == 3
    assert found["sidecar_label_queue_rows", "fraud", "4"] == 17
