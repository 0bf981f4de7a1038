"""Quality metrics by scikit-learn, for whoever wants to compare: run by an environment that has it.

Reads an .npz of `outcomes` and `scores` (and `amounts`, `predicted`) named as the only argument, prints one JSON
object. Knows nothing of the sidecar.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve


def main() -> None:
    """The program."""
    data = np.load(sys.argv[1])
    outcomes, scores = data["outcomes"], data["scores"]
    labels = (scores >= 0.5).astype(int)
    bins = 15
    came_true, said = calibration_curve(outcomes, scores, n_bins=bins, strategy="uniform")
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=bins)
    found = {
        "accuracy": metrics.accuracy_score(outcomes, labels),
        "precision": metrics.precision_score(outcomes, labels),
        "recall": metrics.recall_score(outcomes, labels),
        "specificity": metrics.recall_score(outcomes, labels, pos_label=0),
        "f1": metrics.f1_score(outcomes, labels),
        "log_loss": metrics.log_loss(outcomes, scores),
        "brier": metrics.brier_score_loss(outcomes, scores),
        "auc": metrics.roc_auc_score(outcomes, scores),
        "ece": float(np.abs(came_true - said) @ counts[counts > 0] / outcomes.size),
        "mae": metrics.mean_absolute_error(data["amounts"], data["predicted"]),
        "rmse": metrics.root_mean_squared_error(data["amounts"], data["predicted"]),
    }
    print(json.dumps({name: float(value) for name, value in found.items()}))


main()
