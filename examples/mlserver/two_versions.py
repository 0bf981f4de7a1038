"""Trains versions 3 and 4 of `fraud`, on half of the rows and on all, and writes a folder of each for `mlserver start`.

For people who have no model yet. Runs in MLServer's environment (`pip install mlserver mlserver-sklearn`); writes
`fraud-3` and `fraud-4` into the working directory, served on ports 8000 and 8001. README's quick start calls it.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

ROWS = 4_000


def main() -> None:
    """Into the working directory."""
    rng = np.random.default_rng(7)
    rows = pd.DataFrame({"amount": rng.lognormal(5.0, 1.5, ROWS), "age": rng.integers(18, 90, ROWS).astype(float)})
    fraud = rng.uniform(size=ROWS) < 1 / (1 + np.exp(6.0 - 0.9 * np.log(rows["amount"])))
    write("3", 8000, trained(rows[: ROWS // 2], fraud[: ROWS // 2]))
    write("4", 8001, trained(rows, fraud))


def trained(rows: pd.DataFrame, fraud: Any) -> Any:
    """A logistic regression on logarithms."""
    return make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(rows, fraud)


def write(version: str, port: int, model: Any) -> None:
    """A folder as MLServer wants it: a tensor a feature comes in (`pd`), probabilities go out."""
    folder = Path(f"fraud-{version}")
    folder.mkdir(exist_ok=True)
    import_module("joblib").dump(model, folder / "model.joblib")
    parameters = {
        "uri": "./model.joblib",
        "version": version,
        "content_type": "pd",
        "extra": {"predict_fn": "predict_proba"},
    }
    served = {"name": "fraud", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(served, indent=2) + "\n", encoding="utf-8")
    ports = {"http_port": port, "grpc_port": port + 1_000, "metrics_port": port + 1_100}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
