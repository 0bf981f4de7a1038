"""Two late-arrival models from January to June, as ONNX, in a folder registry with their baselines and lineage.

Keeps: same data and library versions, same models; a version's baseline holds its own answers to the training rows,
computed by the ONNX file that will be served. Version 1 is a logistic regression, version 2 gradient boosting.
Needs the extra `examples`; the sidecar needs none of it. Called by the main program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pandas as pd
import skl2onnx
import sklearn
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, import-not-found, unused-ignore]

from examples.flights.cleaning import FEATURES, NO_OUTCOME, Column, Flights
from examples.flights.configuration import CHALLENGER, CHAMPION, MODEL
from examples.flights.data import REQUIREMENT, WHEEL_SHA256
from registry_client import build_baseline, open_registry

LAST_TRAINING_MONTH = 6
OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
LEARNT_WITH = f"scikit-learn {sklearn.__version__}, skl2onnx {skl2onnx.__version__}"
NUMBERS = [name for name, datatype in FEATURES.items() if datatype == "FP32"]
# Below so many training flights an airport or a carrier is "other": nothing is learnt from a handful.
FEWEST_FLIGHTS = 1_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version: what it looks at and how it learns."""

    version: str
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    scaled: bool
    classifier: Any


RECIPES = (
    Recipe(
        version=CHAMPION,
        categories=("carrier", "origin"),
        numbers=("departure_hour", "distance_miles"),
        scaled=True,
        classifier=LogisticRegression(max_iter=500),
    ),
    Recipe(
        version=CHALLENGER,
        categories=("carrier", "origin", "destination", "weekday"),
        numbers=tuple(NUMBERS),
        scaled=False,
        classifier=HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=0
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of one recipe. `scores` are on the training rows: they flatter, and July will tell."""

    version: str
    file: Path
    kind: str
    scores: Mapping[str, float]


async def train(flights: Flights, folder: Path) -> tuple[Trained, ...]:
    """Trains and registers both versions under `folder`/registry. `flights` are all; the choice of rows is here."""
    rows = flights.where((flights.month <= LAST_TRAINING_MONTH) & (flights.late != NO_OUTCOME))
    (folder / "registry").mkdir(parents=True)
    registry = open_registry(f"file:{folder}/registry")
    trained = []
    for recipe in RECIPES:
        # One thread: on a machine with other work, OpenMP's threads wait for one another longer than they compute.
        with threadpool_limits(1):
            pipeline = pipeline_of(recipe, rows).fit(frame(rows), rows.late)
        file = folder / f"{MODEL}-{recipe.version}.onnx"
        file.write_bytes(exported(pipeline, recipe).SerializeToString(deterministic=True))
        probability = answers(file, rows)
        right = np.where(rows.late == 1, probability, 1.0 - probability).astype(np.float64)
        scores = {
            "accuracy": float(((probability >= 0.5) == (rows.late == 1)).mean()),
            "log_loss": float(-np.log(np.maximum(right, 1e-7)).mean()),
        }
        kind = type(recipe.classifier).__name__
        baseline = build_baseline(
            {**rows.features, "probability": probability, "late": rows.late},
            prediction="probability",
            outcome="late",
            name="nycflights13, January to June 2013, flights that arrived",
            now=datetime.now(UTC),
        )
        await registry.register(
            MODEL,
            recipe.version,
            artifact=file,
            baseline=baseline,
            lineage={
                "data": f"{REQUIREMENT} sha256:{WHEEL_SHA256}, {len(rows)} rows",
                "code": f"examples/flights/train.py, {LEARNT_WITH}",
                "params": f"{kind} on {', '.join((*recipe.categories, *recipe.numbers))}",
                "scores": ", ".join(f"{name} {value:.4f}" for name, value in scores.items()) + " on the training rows",
            },
        )
        trained.append(Trained(recipe.version, file, kind, scores))
    await registry.set_alias(MODEL, "champion", CHAMPION)
    await registry.set_alias(MODEL, "challenger", CHALLENGER)
    await registry.close()
    return tuple(trained)


def frame(flights: Flights) -> pd.DataFrame:
    """The features as scikit-learn's rows."""
    return pd.DataFrame(dict(flights.features))


def pipeline_of(recipe: Recipe, rows: Flights) -> Pipeline:
    """An untrained pipeline. Rare categories get no column of their own, and neither do those of later months."""
    categories = list(recipe.categories)
    known = [frequent(rows.features[name]) for name in categories]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    scaler = StandardScaler() if recipe.scaled else "passthrough"
    columns = ColumnTransformer(
        [("categories", encoder, categories), ("numbers", scaler, list(recipe.numbers))], sparse_threshold=0
    )
    return Pipeline([("columns", columns), ("classifier", recipe.classifier)])


def frequent(column: Column) -> npt.NDArray[Any]:
    """The values that occur often enough to learn from, in order."""
    values, counts = np.unique(column, return_counts=True)
    return np.asarray(values[counts >= FEWEST_FLIGHTS], dtype=object)


def exported(pipeline: Pipeline, recipe: Recipe) -> onnx.ModelProto:
    """The pipeline as ONNX: an input `[N, 1]` a feature, outputs `label` and `probability` of being late `[N]`."""
    kinds = {"FP32": FloatTensorType, "BYTES": StringTensorType}
    model: onnx.ModelProto = skl2onnx.convert_sklearn(
        pipeline,
        name=MODEL,
        initial_types=[(name, kinds[datatype]([None, 1])) for name, datatype in FEATURES.items()],
        options={id(pipeline): {"zipmap": False}},
        target_opset=OPSET,
    )
    graph = model.graph
    label, probabilities = (output.name for output in graph.output)
    graph.initializer.append(helper.make_tensor("late_column", TensorProto.INT64, [], [1]))
    graph.node.append(helper.make_node("Gather", [probabilities, "late_column"], ["probability"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(label, TensorProto.INT64, ["N"]))
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"]))
    model.ir_version = IR_VERSION
    model.producer_name = "examples.flights"
    model.producer_version = recipe.version
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(file: Path, flights: Flights) -> npt.NDArray[np.float32]:
    """The probabilities that the ONNX file gives, a month or so of rows at a time."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    parts = []
    for start in range(0, len(flights), 20_000):
        inputs = {
            name: column[start : start + 20_000].astype(object if FEATURES[name] == "BYTES" else np.float32)[:, None]
            for name, column in flights.features.items()
        }
        parts.append(session.run(["probability"], inputs)[0])
    return np.concatenate(parts)
