"""How grave an alarm is: by the harm that is to be expected, never by how far an input moved.

Keeps: harm is read from the champion's predictions (a lower bound on their drift), from estimated quality where the
estimator does not refuse, from outcomes that came, and from the weight that the model gives a feature. What nobody
can know is `unknown`, and unknown is never quiet.
Does not: open alarms or word them (`alarms` does). Pure. Source: inputs that move while predictions and estimated
quality do not are information only (Podkopaev & Ramdas 2022: alarm on harm, not on change).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from sidecar.reports import FeatureDrift, Severity, SharedShift

Harm = Literal["none", "unknown", "some", "grave"]

# Nats by which predictions moved for certain: PSI would be above 0.1.
GRAVE_KL = 0.05
# Nats below which nobody needs to know that they moved: the tolerance that features have by default.
SOME_KL = 0.005
# Accuracy that is lost for certain.
GRAVE_LOSS, SOME_LOSS = 0.05, 0.005
# A feature with less than this share of the model's importance cannot do much by itself.
LIGHT = 0.02
# With fewer rows nobody can say that predictions have not moved.
_FEWEST_ROWS = 500


class Stakes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of harm beside the report on drift.

    Attributes:
        importance: feature -> its share of the model's importance; empty where the builder did not know it.
        estimated_loss: lower bound on how far estimated accuracy lies below training's; None where nothing estimates
            it, or where the estimator refuses.
        refused: why the estimator refuses, in a sentence.
        realised_loss: lower bound on how far the realised error lies above its reference; None while outcomes do not
            show that it does.
        whole_rows: what whole rows say, in a sentence, where predictions moved and no feature did; None: nothing.
        shift: which moved features the predictions' shift goes with, where the champion was asked.
    """

    importance: Mapping[str, float] = {}
    estimated_loss: float | None = None
    refused: str | None = None
    realised_loss: float | None = None
    whole_rows: str | None = None
    shift: SharedShift | None = None


def importance_shares(importance: Mapping[str, float | None]) -> dict[str, float]:
    """Each feature's share of the model's importance; empty where none is known or none is positive.

    >>> importance_shares({"amount": 3.0, "age": 1.0, "hour": None, "noise": -0.5})
    {'amount': 0.75, 'age': 0.25, 'hour': 0.0, 'noise': 0.0}
    >>> importance_shares({"amount": None})
    {}
    """
    weights = {name: max(weight or 0.0, 0.0) for name, weight in importance.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total > 0 else {}


def expected_harm(prediction: FeatureDrift | None, stakes: Stakes) -> Harm:
    """The harm to the champion's answers as far as it can be known now."""
    loss = max(stakes.realised_loss or 0.0, stakes.estimated_loss or 0.0)
    moved = prediction.kl_lower if prediction is not None else 0.0
    if (stakes.realised_loss or 0.0) > 0.0 or loss >= GRAVE_LOSS or moved >= GRAVE_KL:
        return "grave"
    if loss >= SOME_LOSS or moved >= SOME_KL or (prediction is not None and prediction.alarm):
        return "some"
    if prediction is None or prediction.n < _FEWEST_ROWS or stakes.refused is not None:
        return "unknown"
    return "none"


def severity_of(feature: FeatureDrift, harm: Harm, stakes: Stakes, *, broken: bool) -> Severity:
    """How grave a moved feature is. `broken`: the cause is a named fault of the feed."""
    light = stakes.importance.get(feature.name, 1.0) < LIGHT
    if harm in ("some", "grave"):
        return "info" if light and not broken else "critical" if broken and not light else "warning"
    if harm == "unknown":
        return "info" if light else "warning"
    return "warning" if broken and not light else "info"


def prediction_severity(harm: Harm, stakes: Stakes) -> Severity:
    """How grave moved predictions are that no broken feature explains.

    Where they moved far and the estimator refuses, since inputs lie where training had none, nobody can vouch for them.
    """
    lost = max(stakes.realised_loss or 0.0, stakes.estimated_loss or 0.0) >= GRAVE_LOSS
    return "critical" if harm == "grave" and (lost or stakes.refused is not None) else "warning"
