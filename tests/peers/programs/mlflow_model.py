"""Trains a model and saves it in MLflow's form, as `model`. Runs in MLflow's own environment."""

from __future__ import annotations

import mlflow  # type: ignore[import-not-found]
import numpy as np
import pandas as pd
from mlflow.models import infer_signature  # type: ignore[import-not-found]
from sklearn.linear_model import LogisticRegression


def main() -> None:
    """Into the working directory."""
    rng = np.random.default_rng(7)
    rows = pd.DataFrame(
        {
            "amount": np.exp(rng.normal(4, 1, 500)),
            "age": rng.integers(18, 90, 500).astype(float),
            "foreign": rng.integers(0, 2, 500).astype(float),
        }
    )
    model = LogisticRegression(max_iter=1_000).fit(rows, rows["amount"] > 60)
    signature = infer_signature(rows, model.predict_proba(rows))
    # Without predict_proba MLflow's scoring answers classes only.
    # What it needs is said, for else MLflow loads it in a process of its own to find out.
    needs = ["scikit-learn", "pandas"]
    mlflow.sklearn.save_model(
        model, "model", signature=signature, pyfunc_predict_fn="predict_proba", pip_requirements=needs
    )


if __name__ == "__main__":
    main()
