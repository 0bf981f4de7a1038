"""Trains the demo's two payment models and writes them as ONNX beside their lineage and a README.

    pip install -e '.[train]' && python scripts/make_demo_models.py

Version 3 is a logistic regression that never learnt of hour, country and the card's age;
version 4 is gradient boosting on everything. Same seed and same library versions, same files byte for byte.
The product never runs this: the files are committed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import skl2onnx
import sklearn
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

from sidecar.demo.payments import (
    FEATURES,
    TRAINING_ROWS,
    TRAINING_SEED,
    Payments,
    inference_inputs,
    outcomes,
    stream,
    training_set,
)
from sidecar.model_server.tensors import TensorSpec, read_inputs

FOLDER = Path(__file__).parent.parent / "sidecar" / "demo" / "models"
OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
SIZE_LIMIT_BYTES = 150_000
TEST_SEED = 77
TEST_ROWS = 20_000

Labels = npt.NDArray[np.int64]
INDEX = {feature.name: position for position, feature in enumerate(FEATURES)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version: which features it sees, prepared how, and how it learns."""

    version: str
    preparations: tuple[tuple[Any, tuple[str, ...]], ...]
    classifier: Any

    def pipeline(self) -> Pipeline:
        """An untrained scikit-learn pipeline over the columns of FEATURES, in their order."""
        columns = ColumnTransformer(
            [
                (str(position), preparation, [INDEX[name] for name in names])
                for position, (preparation, names) in enumerate(self.preparations)
            ],
            sparse_threshold=0,
        )
        return Pipeline([("columns", columns), ("classifier", self.classifier)])

    def features(self) -> list[str]:
        """The features that this version looks at."""
        return [name for _, names in self.preparations for name in names]


BINS = KBinsDiscretizer(
    8, encode="onehot-dense", strategy="quantile", quantile_method="averaged_inverted_cdf", subsample=None
)
RECIPES = (
    Recipe(
        version="3",
        preparations=(
            (BINS, ("amount", "distance_km", "device_trust")),
            (StandardScaler(), ("payments_last_hour",)),
            (OneHotEncoder(handle_unknown="ignore"), ("merchant_category", "is_online")),
        ),
        classifier=LogisticRegression(max_iter=1000),
    ),
    Recipe(
        version="4",
        preparations=(
            ("passthrough", tuple(feature.name for feature in FEATURES if feature.datatype == "FP32")),
            (OneHotEncoder(handle_unknown="ignore"), ("merchant_category", "country", "is_online")),
        ),
        classifier=GradientBoostingClassifier(n_estimators=120, max_depth=3, learning_rate=0.15, random_state=0),
    ),
)


def matrix(payments: Payments) -> npt.NDArray[np.object_]:
    """Payments as scikit-learn's rows. Numbers as FP32 first: the model will never see more digits."""
    columns = []
    for feature in FEATURES:
        column = payments[feature.name]
        typed = column.astype(np.float32) if feature.datatype == "FP32" else column
        columns.append(np.asarray(typed, dtype=np.object_))
    return np.column_stack(columns)


def exported(pipeline: Pipeline, recipe: Recipe) -> onnx.ModelProto:
    """The pipeline as ONNX: one input per feature [N, 1], outputs `label` [N] and `probability` of fraud [N]."""
    kinds = {"FP32": FloatTensorType, "BYTES": StringTensorType}
    model: onnx.ModelProto = skl2onnx.convert_sklearn(
        pipeline,
        name="payments",
        initial_types=[(feature.name, kinds[feature.datatype]([None, 1])) for feature in FEATURES],
        options={id(pipeline): {"zipmap": False}},
        target_opset=OPSET,
    )
    graph = model.graph
    label, probabilities = (output.name for output in graph.output)
    graph.initializer.append(helper.make_tensor("fraud_column", TensorProto.INT64, [], [1]))
    graph.node.append(helper.make_node("Identity", [label], ["label_of_payment"]))
    graph.node.append(helper.make_node("Gather", [probabilities, "fraud_column"], ["probability"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(label, TensorProto.INT64, ["N"]))
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"]))
    model.ir_version = IR_VERSION
    model.producer_name = "make_demo_models"
    model.producer_version = recipe.version
    onnx.checker.check_model(model, full_check=True)
    return model


def predictions(model: bytes, payments: Payments) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Labels and probabilities as the model server would give them."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    specs = {}
    for tensor in session.get_inputs():
        spec = TensorSpec.of_runtime(tensor.name, tensor.type, tensor.shape)
        if spec is None:
            raise TypeError(f"input {tensor.name} is a {tensor.type}")
        specs[spec.name] = spec
    label, probability = session.run(["label", "probability"], read_inputs(inference_inputs(payments), specs))
    return label, probability


def digest(*parts: bytes) -> str:
    """SHA-256 over all parts, each preceded by its length."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{whole.hexdigest()}"


def lineage(recipe: Recipe, data: str, scores: Mapping[str, float]) -> dict[str, str]:
    """Where a version comes from, every value one string, as a registry keeps it."""
    settings = " ".join(repr(recipe.classifier).split())
    return {
        "data": f"sidecar.demo.payments seed {TRAINING_SEED}, {TRAINING_ROWS} rows, {data}",
        "code": f"scripts/make_demo_models.py, scikit-learn {sklearn.__version__}, skl2onnx {skl2onnx.__version__}",
        "params": f"{settings} on {', '.join(recipe.features())}",
        "scores": ", ".join(f"{name} {value:.4f}" for name, value in scores.items()),
    }


def readme(rows: list[str], agreement: float) -> str:
    """The README of the models' folder."""
    return "\n".join(
        [
            "# The demo's models",
            "",
            "Written by `scripts/make_demo_models.py` from the stream of `sidecar/demo/payments.py`; do not edit.",
            "Inputs: one tensor `[rows, 1]` per feature.",
            "Outputs: `label` `[rows]` (1 is fraud) and `probability` of fraud `[rows]`.",
            "",
            f"Measured on {TEST_ROWS:,} fresh payments, threshold 0.5:",
            "",
            "| version | learns by | accuracy | log loss | bytes |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"The two give the same label for {agreement:.4f} of these payments.",
            "",
        ]
    )


def main() -> int:
    """Train, export, measure, write; 1 when a file came out too large to commit."""
    payments, truth = training_set()
    rng = np.random.default_rng(TEST_SEED)
    fresh = stream(rng, TEST_ROWS)
    fresh_truth = outcomes(rng, fresh)
    columns = (payments[feature.name].astype(str) for feature in FEATURES)
    data = digest(*("\n".join(column).encode() for column in columns), truth.tobytes())
    lineages: dict[str, dict[str, str]] = {}
    labels: list[Labels] = []
    rows: list[str] = []
    for recipe in RECIPES:
        pipeline = recipe.pipeline().fit(matrix(payments), truth)
        model = exported(pipeline, recipe).SerializeToString(deterministic=True)
        if len(model) > SIZE_LIMIT_BYTES:
            print(f"version {recipe.version} has {len(model)} bytes, more than {SIZE_LIMIT_BYTES}", file=sys.stderr)
            return 1
        label, probability = predictions(model, fresh)
        differing = int((label != pipeline.predict(matrix(fresh))).sum())
        accuracy = float((label == fresh_truth).mean())
        right = np.where(fresh_truth == 1, probability, 1 - probability)
        log_loss = float(-np.log(np.maximum(right, 1e-7)).mean())
        (FOLDER / f"payments-{recipe.version}.onnx").write_bytes(model)
        lineages[recipe.version] = lineage(recipe, data, {"accuracy": accuracy, "log_loss": log_loss})
        labels.append(label)
        kind = type(recipe.classifier).__name__
        rows.append(f"| {recipe.version} | {kind} | {accuracy:.4f} | {log_loss:.4f} | {len(model):,} |")
        print(f"version {recipe.version}: {len(model):,} bytes, accuracy {accuracy:.4f}")
        print(f"  {differing} of {TEST_ROWS:,} labels unlike scikit-learn's")
    agreement = float((labels[0] == labels[1]).mean())
    print(f"fraud share {fresh_truth.mean():.4f}, agreement {agreement:.4f}")
    (FOLDER / "lineage.json").write_text(json.dumps(lineages, indent=2) + "\n")
    (FOLDER / "README.md").write_text(readme(rows, agreement))
    return 0


if __name__ == "__main__":
    sys.exit(main())
