from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.joint_watch import ERROR, ROWS, JointWatch
from sidecar.observe.kept_rows import KeptRow
from sidecar.reports import DriftReport, FeatureDrift

AGE_S = 16.0 * ROWS  # so that a row a second is taken
COLUMNS = {
    "income": np.arange(100.0),
    "debt": np.arange(100.0),
    "region": np.array(["north", "south"] * 50, dtype=object),
    "score": np.linspace(0.0, 1.0, 100),
}
BASELINE = build_baseline(COLUMNS, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))
MOVED, SAME = "their joint distribution did", "not the inputs, changed"


def column(name: str, since: float | None) -> FeatureDrift:
    fields: dict[str, Any] = dict.fromkeys(("missing", "wrong_type", "unseen", "kl_lower", "psi", "psi_noise"), 0.0)
    fields |= {"name": name, "kind": "numeric", "n": 9, "e_value": 1.0, "alarm": since is not None, "since": since}
    fields |= {"cause": None, "cells": (), "baseline_counts": (), "live_counts": ()}
    return FeatureDrift(**fields)


def report(prediction: float | None = None, feature: float | None = None) -> DriftReport:
    return DriftReport(
        against="training",
        baseline_model=None,
        baseline_version=None,
        baseline_digest="sha256:0",
        rows_seen=9,
        rows_sampled=9,
        undecodable=0,
        severity="none",
        features=(column("income", feature),),
        prediction=column("prediction", prediction),
    )


class Traffic:
    """A row a second; `correlation` of income and debt, whose own distributions never move."""

    def __init__(self, seed: int, correlation: float = 0.7) -> None:
        self.rng, self.correlation, self.second = np.random.default_rng(seed), correlation, 0
        self.watch = JointWatch(BASELINE, AGE_S)

    def run(self, seconds: int, now: DriftReport) -> None:
        for _ in range(seconds):
            self.second += 1
            income, noise = self.rng.normal(size=2)
            debt = self.correlation * income + math.sqrt(1 - self.correlation**2) * noise
            region = "north" if self.rng.random() < 0.5 else "south"
            values = {"income": income, "debt": debt, "region": region}
            identity = f"{self.rng.integers(1 << 60):x}"
            self.watch.fold(KeptRow(identity, 0, 1.01 * self.second, values, None, None))
            if self.second % 10 == 0:
                self.watch.look(now, 1.01 * self.second)

    def healthy_then(self, alarm: DriftReport | None = None) -> str | None:
        self.run(2_000, report())
        since = 1.01 * self.second
        self.run(30, report())  # it takes a while to see that predictions moved
        self.run(4 * ROWS + 60, alarm or report(prediction=since))
        return self.watch.says


def test_a_dependence_that_turned_round_is_said_with_the_features_that_take_part() -> None:
    traffic = Traffic(1)
    traffic.run(2_000, report())
    traffic.correlation = -0.7
    traffic.run(30, report())
    traffic.run(ROWS + 20, report(prediction=1.01 * 2_001))
    said = traffic.watch.says
    assert said is not None
    assert MOVED in said
    assert "income" in said
    assert "debt" in said
    assert "region" not in said


def test_where_no_row_changed_it_is_the_model_or_its_labels() -> None:
    said = Traffic(2).healthy_then()
    assert said is not None
    assert SAME in said


def test_inputs_are_accused_wrongly_no_oftener_than_is_promised() -> None:
    said = [Traffic(seed).healthy_then() or "" for seed in range(100, 140)]
    assert all(SAME in one or MOVED in one for one in said)
    # With the promised error, more than three of forty come once in a thousand times.
    assert sum(MOVED in one for one in said) <= 3
    assert ERROR == 0.01


@pytest.mark.parametrize("alarm", [report(), report(feature=5.0), report(prediction=5_000.0, feature=5_000.0)])
def test_nothing_is_said_where_predictions_stand_or_a_feature_moved(alarm: DriftReport) -> None:
    assert Traffic(3).healthy_then(alarm) is None


def test_rows_after_the_onset_are_no_measure_of_health() -> None:
    assert Traffic(4).healthy_then(report(prediction=100.0)) is None


def test_an_alarm_that_ends_takes_its_sentence_along_and_the_next_one_begins_anew() -> None:
    traffic = Traffic(5)
    traffic.healthy_then()
    traffic.run(10, report())
    assert traffic.watch.says is None
    assert SAME in (traffic.healthy_then() or "")


def test_no_row_outlives_its_age_or_can_be_encoded() -> None:
    traffic = Traffic(6)
    traffic.run(2_000, report())
    rows = [*traffic.watch._gathering, *(row for rows in traffic.watch._healthy for row in rows)]
    assert 0 < len(rows) <= 4 * ROWS
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(traffic.watch)
    assert "income" not in repr(traffic.watch)
    traffic.watch.expire(1.01 * 2_000 + AGE_S + 1)
    assert not any([traffic.watch._gathering, *traffic.watch._healthy])


def test_hostile_values_do_no_harm() -> None:
    watch = JointWatch(BASELINE, AGE_S)
    odd: list[object] = [1 << 1_000, -(1 << 1_023) * 4, math.nan, math.inf, None, "text", True, 1e308]
    for second in range(4_000):
        values = {"income": odd[second % 8], "debt": odd[second % 7], "region": odd[second % 5]}
        watch.fold(KeptRow(f"\ud800{second}", 0, 1.01 * second, values, None, None))
        watch.look(report(prediction=2_020.0 if second > 2_030 else None), 1.01 * second)
    assert watch.says is not None  # it was looked at
