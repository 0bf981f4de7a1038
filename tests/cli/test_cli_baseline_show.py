"""What `baseline show` prints of a baseline that has everything, and of one that has the least."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry_client import build_baseline, from_json, to_json
from registry_client.baseline import Calibration
from sidecar.cli.baseline_table import calibration_error

Run = Callable[..., Any]
NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Ten days whose amounts wander, with scores and outcomes."""
    rng = np.random.default_rng(5)
    days = np.repeat(np.arange(10), 400)
    score = rng.random(4_000)
    table = {
        "at": (np.datetime64("2026-01-01", "us") + days * np.timedelta64(1, "D")),
        "amount": rng.normal(days * 0.5, 1.0),
        "score": score,
        "fraud": (rng.random(4_000) < score).astype(int),
    }
    path = tmp_path / "baseline.json"
    built = build_baseline(table, prediction="score", outcome="fraud", time="at", name="training", now=NOW)
    path.write_bytes(to_json(built))
    return path


def test_what_the_drift_watch_takes_from_a_baseline_is_shown(sidecar: Run, full: Path) -> None:
    shown = sidecar("baseline", "show", str(full))

    words = " ".join(shown.stdout.split())
    amount = from_json(full.read_bytes()).by_name["amount"]
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert amount.natural_variation > 0.1
    assert f" {amount.natural_variation:.2g} {amount.overdispersion:.3g} " in words
    assert "time at: 10 blocks of a day, 2026-01-01 to 2026-01-10" in words
    assert "source: training" in words
    assert "bins of scores, expected error 0.0" in words


def test_without_a_time_column_it_says_that_days_are_unknown(sidecar: Run, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(to_json(build_baseline({"amount": [1.5, 2.5]}, now=NOW)))

    shown = sidecar("baseline", "show", str(path))

    assert "no time column" in shown.stdout
    assert "ε_nat 0, φ 1" in shown.stdout


def shape_of(sidecar: Run, tmp_path: Path, values: Any) -> str:
    path = tmp_path / "baseline.json"
    path.write_bytes(to_json(build_baseline({"amount": values}, now=NOW)))
    lines = sidecar("baseline", "show", str(path)).stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("amount"))
    return str(line.split("0.00%")[0].removeprefix("amount").strip().removeprefix("numeric").strip())


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (np.linspace(-1.0, 1.0, 1_000) * 1e308, "████████████████"),
        (np.full(100, 7.5), "█"),
        (np.array([5e-324, 1.5, 1.5, 1.5]), "▃              █"),
        (np.array([0.0] * 500 + [10.0] * 500), "█              █"),
    ],
)
def test_the_shape_of_numbers_is_that_of_their_distribution(
    sidecar: Run, tmp_path: Path, values: Any, shape: str
) -> None:
    assert shape_of(sidecar, tmp_path, values) == shape


def test_a_bell_is_high_in_the_middle(sidecar: Run, tmp_path: Path) -> None:
    shape = shape_of(sidecar, tmp_path, np.random.default_rng(1).normal(size=5_000))

    assert len(shape) == 16
    assert max(shape) in shape[6:10]
    assert max(shape[0], shape[-1]) < min(shape[6:10])


def test_json_is_the_document_as_it_was_written(sidecar: Run, full: Path) -> None:
    shown = sidecar("baseline", "show", "--json", str(full))

    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == json.loads(full.read_bytes())


def test_json_of_an_edited_document_is_refused(sidecar: Run, full: Path) -> None:
    full.write_bytes(full.read_bytes().replace(b'"training"', b'"raining!"'))

    shown = sidecar("baseline", "show", "--json", str(full))

    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "digest" in shown.stderr


def test_the_calibration_error_is_the_mean_distance_of_the_bins() -> None:
    calibration = Calibration(edges=(0.0, 0.5, 1.0), counts=(30, 10), positives=(3, 9), means=(0.2, 0.8))

    assert calibration_error(calibration) == pytest.approx((30 * 0.1 + 10 * 0.1) / 40)
    assert calibration_error(Calibration(edges=(0.0, 1.0), counts=(0,), positives=(0,), means=(0.0,))) == 0.0
