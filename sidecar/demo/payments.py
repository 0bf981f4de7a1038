"""A made-up stream of card payments that a first filter set aside for review, and which were fraud.

Invariant: the same generator gives the same payments; rows are independent, so a window of the stream
drifts only if someone changes it. About one payment in three is fraud: a few hundred outcomes
tell two versions apart. What makes fraud likely is hidden in `_suspicion`, with interactions that a
linear model cannot follow.
It trains nothing and sends nothing: scripts/make_demo_models.py and the demo's traffic call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Payments = dict[str, Column]

TRAINING_SEED = 20240601
TRAINING_ROWS = 16_000


@dataclass(frozen=True, slots=True)
class Feature:
    """A field of a payment and its datatype in the Open Inference Protocol."""

    name: str
    datatype: str


# In the order of the models' inputs.
FEATURES = (
    Feature("amount", "FP32"),  # cents, whole
    Feature("merchant_category", "BYTES"),
    Feature("hour", "FP32"),  # of the day, 0 to 23
    Feature("country", "BYTES"),
    Feature("distance_km", "FP32"),  # from the card holder's home
    Feature("card_age_days", "FP32"),
    Feature("payments_last_hour", "FP32"),  # with this card
    Feature("is_online", "BYTES"),  # "true" or "false"
    Feature("device_trust", "FP32"),  # 0 unknown device to 1 well known
)

# Category, its share of the stream, its usual amount in cents, its share of online payments.
CATEGORIES = (
    ("groceries", 0.20, 3_200, 0.10),
    ("restaurant", 0.13, 4_100, 0.06),
    ("fuel", 0.09, 5_600, 0.02),
    ("clothing", 0.10, 6_800, 0.55),
    ("electronics", 0.10, 18_500, 0.60),
    ("travel", 0.08, 34_000, 0.80),
    ("health", 0.06, 5_200, 0.20),
    ("games", 0.07, 2_600, 0.97),
    ("gift_cards", 0.05, 7_500, 0.75),
    ("jewellery", 0.03, 29_000, 0.30),
    ("furniture", 0.05, 24_000, 0.45),
    ("cash_withdrawal", 0.04, 12_000, 0.0),
)
# Country, its share of the stream, its part in fraud.
COUNTRIES = (
    ("DE", 0.34, -0.3),
    ("FR", 0.14, -0.2),
    ("NL", 0.09, -0.2),
    ("IT", 0.08, 0.0),
    ("ES", 0.07, 0.0),
    ("PL", 0.06, 0.1),
    ("GB", 0.05, 0.1),
    ("AT", 0.04, -0.2),
    ("BE", 0.03, 0.0),
    ("SE", 0.03, -0.1),
    ("US", 0.02, 0.5),
    ("TR", 0.02, 0.4),
    ("BR", 0.01, 0.9),
    ("NG", 0.01, 0.9),
    ("SG", 0.01, 0.6),
)
# Relative number of payments by hour: quiet nights, a noon hump, a busy evening.
DAY_CYCLE = (3, 2, 1, 1, 1, 2, 4, 7, 10, 12, 13, 15, 17, 15, 13, 13, 14, 17, 19, 18, 15, 11, 8, 5)


def stream(rng: np.random.Generator, rows: int) -> Payments:
    """`rows` independent payments, one column of that length per feature of FEATURES."""
    category = rng.choice(len(CATEGORIES), size=rows, p=_shares([entry[1] for entry in CATEGORIES]))
    online = rng.random(rows) < np.array([entry[3] for entry in CATEGORIES])[category]
    usual_cents = np.array([entry[2] for entry in CATEGORIES])[category]
    burst = rng.random(rows) < 0.12  # a stolen card is often emptied in minutes
    away = rng.random(rows) < 0.15
    return {
        "amount": _round_habit(rng, rng.lognormal(np.log(usual_cents), 0.75)),
        "merchant_category": np.array([entry[0] for entry in CATEGORIES])[category],
        "hour": rng.choice(24, size=rows, p=_shares(DAY_CYCLE)),
        "country": np.array([entry[0] for entry in COUNTRIES])[
            rng.choice(len(COUNTRIES), size=rows, p=_shares([entry[1] for entry in COUNTRIES]))
        ],
        "distance_km": np.round(rng.lognormal(np.where(away, 5.6, 1.6), 1.1), 1),
        "card_age_days": np.minimum(1 + rng.gamma(1.3, 700.0, rows), 5000).astype(np.int64),
        "payments_last_hour": rng.poisson(np.where(burst, 4.5, 0.6)),
        "is_online": np.where(online, "true", "false"),
        "device_trust": np.round(np.where(rng.random(rows) < 0.3, rng.beta(1.2, 4, rows), rng.beta(5, 1.8, rows)), 3),
    }


def outcomes(rng: np.random.Generator, payments: Payments) -> npt.NDArray[np.int64]:
    """1 where a payment turned out to be fraud, else 0; partly chance, so no model gets all right."""
    probability = 1.0 / (1.0 + np.exp(-_suspicion(payments)))
    return (rng.random(probability.size) < probability).astype(np.int64)


def training_set() -> tuple[Payments, npt.NDArray[np.int64]]:
    """The payments and outcomes that the demo's models and their baseline come from: the same each time."""
    rng = np.random.default_rng(TRAINING_SEED)
    payments = stream(rng, TRAINING_ROWS)
    return payments, outcomes(rng, payments)


def in_euros(payments: Payments) -> Payments:
    """The same payments after someone upstream changed `amount` from cents to euros, and told nobody."""
    return {**payments, "amount": payments["amount"] / 100}


def inference_inputs(payments: Payments) -> list[dict[str, object]]:
    """The `inputs` member of an Open Inference Protocol V2 request: one tensor of shape [rows, 1] per feature."""
    return [
        {
            "name": feature.name,
            "shape": [payments[feature.name].size, 1],
            "datatype": feature.datatype,
            "data": payments[feature.name].tolist(),
        }
        for feature in FEATURES
    ]


def _round_habit(rng: np.random.Generator, cents: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """People and price tags like round numbers: some amounts are whole euros, some end in 99 cents."""
    whole = np.maximum(np.round(cents / 100), 1) * 100
    habit = rng.random(cents.size)
    return np.where(habit < 0.25, whole, np.where(habit < 0.45, whole - 1, np.maximum(cents, 50))).astype(np.int64)


def _shares(weights: object) -> npt.NDArray[np.float64]:
    values = np.asarray(weights, dtype=np.float64)
    total: np.float64 = values.sum()
    return values / total


def _suspicion(payments: Payments) -> npt.NDArray[np.float64]:
    """The hidden log-odds of fraud."""
    euros = np.log10(payments["amount"] / 100)
    online = payments["is_online"] == "true"
    night = (payments["hour"] <= 5) | (payments["hour"] >= 22)
    young = payments["card_age_days"] < 120
    far = np.log10(1 + payments["distance_km"])
    many = np.minimum(payments["payments_last_hour"], 6)
    distrust = 1 - payments["device_trust"]
    resold = np.isin(payments["merchant_category"], ("electronics", "gift_cards", "jewellery", "games"))
    part = {name: part for name, _, part in COUNTRIES}
    abroad = np.array([part[name] for name in payments["country"].tolist()])
    straight = 9.0 * (euros - 1.9) + 4.8 * (far - 1.1) + 1.5 * (many - 1) + 9.0 * (distrust - 0.45) + 3.6 * abroad
    together = (
        3.2 * (resold & online)
        + 2.9 * (night & ~online)
        + 2.7 * (young & (euros > 1.8))
        - 3.2 * (online & (far > 2))  # a parcel travels, a card number that is typed in does not
        + 2.2 * ((many >= 3) & (distrust > 0.5))
    )
    return np.asarray(straight + together - 1.7, dtype=np.float64)
