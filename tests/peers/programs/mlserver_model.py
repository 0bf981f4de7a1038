"""Trains a model and writes the folder that `mlserver start` serves. Runs in MLServer's environment, with its ports."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

PORTS = ("http_port", "grpc_port", "metrics_port")


def main() -> None:
    """Into the working directory."""
    rng = np.random.default_rng(7)
    rows = np.column_stack([np.exp(rng.normal(4, 1, 500)), rng.integers(18, 90, 500), rng.integers(0, 2, 500)])
    model = LogisticRegression(max_iter=1_000).fit(rows, rows[:, 0] > 60)
    folder = Path("fraud")
    folder.mkdir()
    import_module("joblib").dump(model, folder / "model.joblib")
    settings = {"host": "127.0.0.1", "parallel_workers": 0} | dict(zip(PORTS, map(int, sys.argv[1:]), strict=True))
    Path("settings.json").write_text(json.dumps(settings), encoding="utf-8")
    parameters = {"uri": "./model.joblib", "version": "v1.2.0"}
    served = {"name": "fraud", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(served), encoding="utf-8")


if __name__ == "__main__":
    main()
