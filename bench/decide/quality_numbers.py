"""Experiment L: the product's quality numbers beside scikit-learn's on the same rows.

Real scores and outcomes (a model of US census rows, three years) and made-up ones: ties, certain errors, tiny
probabilities. The rows go through the quality observer as outcomes do, one by one; scikit-learn gets them whole.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift.episodes import Served, employment
from bench.drift.plan import Plan
from bench.programs import Missing
from bench.result import Finding, Result, Table
from bench.spread import spread
from sidecar.observe.quality import QualityObserver, RowPrediction

SCIKIT_LEARN = Path(__file__).parent.parent.parent / ".venv-mlflow" / "bin" / "python"
PROGRAM = Path(__file__).parent / "scikit_learn_run.py"
LIMIT = 1e-9
Floats = NDArray[np.float64]


class Rows(msgspec.Struct, frozen=True):
    """Outcomes 0 or 1 with a score each, and amounts with a prediction each; all of one length."""

    outcomes: Floats
    scores: Floats
    amounts: Floats
    predicted: Floats


def made_up(rows: int, seed: int) -> Rows:
    """Scores of every kind: many ties, certain ones, tiny ones; amounts over six decades."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate(
        [
            np.round(rng.beta(0.4, 3.0, rows // 2), 2),
            rng.beta(0.2, 5.0, rows // 4),
            np.clip(rng.choice([0.0, 1.0, 1e-12, 1.0 - 1e-12, 0.5], rows - rows // 2 - rows // 4), 0.0, 1.0),
        ]
    )
    outcomes = (rng.random(rows) < 0.1 + 0.8 * scores).astype(np.float64)
    amounts = np.exp(rng.normal(4.0, 3.0, rows)) + 2.0  # none looks like a probability
    return Rows(outcomes, scores, amounts, amounts * np.exp(rng.normal(0.0, 0.3, rows)))


def _real(served: Served) -> Rows:
    """A model's scores and what came true; the amounts beside them are made up."""
    rest = made_up(served.rows, 6)
    return Rows(served.truth.astype(np.float64), served.scores, rest.amounts, rest.predicted)


def ours(rows: Rows) -> tuple[dict[str, float], float, float]:
    """Metrics by the product, by how much its area may be off, and the rows a second of one version."""
    quality, amounts, version = QualityObserver(), QualityObserver(), "3"
    pairs = list(zip(rows.scores.tolist(), rows.outcomes.tolist(), strict=True))
    began = time.perf_counter()
    for score, outcome in pairs:
        quality.fold(version, RowPrediction(None, score), outcome)
    took_s = time.perf_counter() - began
    for predicted, amount in zip(rows.predicted.tolist(), rows.amounts.tolist(), strict=True):
        amounts.fold(version, RowPrediction(None, predicted), amount)
    report = quality.report(version, intervals=False)
    found = {**report.metrics, **amounts.report(version, intervals=False).metrics}
    return found, report.auc_error or 0.0, len(pairs) / took_s


def scikit_learn(rows: Rows) -> dict[str, float]:
    """The same by scikit-learn; raises Missing where there is none."""
    if not SCIKIT_LEARN.is_file():
        raise Missing("scikit-learn is not installed: run `make .venv-mlflow/ready`")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, **msgspec.structs.asdict(rows))
        done = subprocess.run([SCIKIT_LEARN, PROGRAM, path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"scikit-learn said: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def apart(mine: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    """By metric how far the two are apart; of amounts relative to them. Every metric of theirs must be there."""
    relative = {"mae", "rmse"}
    return {name: abs(mine[name] - value) / (value if name in relative else 1.0) for name, value in theirs.items()}


def measure(plan: Plan) -> Result:
    """The experiment."""
    sets = {"made up, ties and certain errors": made_up(plan.pick(20_000, 100_000), 5)}
    live = employment().live
    for many in (60_000, live.rows)[: plan.pick(1, 2)]:
        sets[f"census, {many:,} rows"] = _real(live.part(np.arange(many)))
    rows, furthest, speeds = [], [], []
    for name, data in sets.items():
        mine, error, speed = ours(data)
        distances = apart(mine, scikit_learn(data))
        area = distances.pop("auc")
        if not error:
            distances["auc"] = area
        worst = max(distances, key=lambda metric: distances[metric])
        furthest.append(distances[worst])
        speeds.append(speed)
        distinct = np.unique(data.scores).size
        told = "exact" if not error else f"within {error:.1e}"
        largest = f"{distances[worst]:.1e} ({worst})"
        rows.append((name, f"{data.scores.size:,}", f"{distinct:,}", largest, told, f"{area:.1e}"))
        plan.tell(f"  {rows[-1]}")
    return Result(
        title="L. Quality numbers beside scikit-learn",
        findings=[
            Finding(
                measure="largest distance of any metric, in units of 1e-9",
                against="scikit-learn",
                reached=spread([1e9 * distance for distance in furthest]),
                limit=1e9 * LIMIT,
                unit="",
                digits=3,
            )
        ],
        tables=[
            Table(("rows from", "rows", "distinct scores", "largest distance", "area says", "area is off by"), rows)
        ],
        note=(
            "Accuracy, precision, recall, specificity, F1, log loss, Brier score, expected calibration error (15 "
            "bins), MAE and RMSE (relative), and the area under the ROC curve, which is exact while at most 65,536 "
            "scores differ and says beyond that how far it may be off. Folded in batches, as outcomes come, at a "
            f"median of {np.median(speeds):,.0f} rows a second."
        ),
    )
