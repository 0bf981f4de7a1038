"""The training script, as a team would have it: told by an event on which data, it registers a version by itself.

Keeps: rows from stretches in which the feed was broken are not learnt from; what it learnt from stands in the version's
lineage; the version appears with model and baseline, or not at all. Knows of the sidecar only the event.
Run as `python -m examples.loop.train EVENT.json WAREHOUSE REGISTRY`; the registry is a real MLflow server's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from examples.loop import warehouse
from examples.loop.world import FEATURES, MODEL, Rows
from registry_client import build_baseline, open_registry

FEWEST_ROWS = 1_500
_WAIT_S, _LONGEST_WAIT_S = 0.5, 120.0


async def train(rows: Rows, truth: npt.NDArray[np.int64], registry_uri: str, alias: str, learnt_from: str) -> str:
    """Fits, registers, points the alias at it; the version's number."""
    model = LogisticRegression(max_iter=500).fit(rows, truth)
    registry = open_registry(registry_uri)
    with TemporaryDirectory() as folder:
        artifact = Path(folder) / "model.onnx"
        artifact.write_bytes(exported(model.coef_[0], float(model.intercept_[0])))
        score = model.predict_proba(rows)[:, 1]
        columns = {name: rows[:, place] for place, name in enumerate(FEATURES)}
        baseline = build_baseline(
            {**columns, "probability": score, "fraud": truth},
            prediction="probability",
            outcome="fraud",
            name=learnt_from,
            now=datetime.now(UTC),
        )
        digest = hashlib.sha256(rows.tobytes() + truth.tobytes()).hexdigest()
        lineage = {"data": f"{learnt_from}, sha256:{digest[:16]}", "code": "examples/loop/train.py"}
        made = await registry.register(MODEL, "", artifact=artifact, baseline=baseline, lineage=lineage)
    await registry.set_alias(MODEL, alias, made.version)
    await registry.close()
    return made.version


def exported(weights: npt.NDArray[np.float64], intercept: float) -> bytes:
    """A logistic regression as ONNX, with one input for each feature."""
    column = ("rows", 1)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, column) for name in FEATURES]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, column)
    constants = [
        numpy_helper.from_array(np.asarray(weights, np.float32).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.array([intercept], np.float32), "intercept"),
    ]
    nodes = [
        helper.make_node("Concat", list(FEATURES), ["row"], axis=1),
        helper.make_node("Gemm", ["row", "weights", "intercept"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    graph = helper.make_graph(nodes, MODEL, inputs, [output], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString(deterministic=True))


def rows_of(event: dict[str, Any], path: Path) -> tuple[Rows, npt.NDArray[np.int64], str]:
    """What the event says to learn from: its window without what is to be left out, from where the world changed on.

    Waits until enough of these rows have their outcome; SystemExit where they never come.
    """
    data = event["data"]
    left = [(warehouse.seconds(each["from"]), warehouse.seconds(each["until"])) for each in data["leave_out"]]
    since = max(warehouse.seconds(data["window"]["from"]), warehouse.seconds(data["moved_since"]))
    deadline = time.monotonic() + _LONGEST_WAIT_S
    while True:
        rows, truth = warehouse.between(path, since, time.time(), left)
        if len(rows) >= FEWEST_ROWS and 0 < truth.sum() < len(truth):
            return (
                rows,
                truth,
                f"payments since {data['moved_since']}, {len(rows)} rows, {len(left)} stretches left out",
            )
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(rows)} labelled rows since {data['moved_since']}: nothing was trained")
        time.sleep(_WAIT_S)


def main() -> int:
    """Trains what the event asks for, and says what came of it in one line."""
    event_file, table, registry_uri = sys.argv[1:]
    event = json.loads(Path(event_file).read_text(encoding="utf-8"))
    rows, truth, learnt_from = rows_of(event, Path(table))
    version = asyncio.run(train(rows, truth, registry_uri, "challenger", learnt_from))
    print(json.dumps({"version": version, "learnt_from": learnt_from}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
