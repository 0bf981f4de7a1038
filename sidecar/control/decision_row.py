"""A row of a request with what each version said, as it is kept until its outcome comes, and the two joined.

Keeps: labels, scores and ids only, never a feature. Does not store anything.
Called by: the intake (`rows_of`), `decisions` (which keeps rows and hands out joins) and whoever folds quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sidecar.observe.quality import RowPrediction
from sidecar.records import Exchange, Prediction


class DecisionRow(msgspec.Struct, frozen=True):
    """One row of one request; `at` is when the request came, in seconds since the epoch.

    `champion` is the version whose answer the caller got: a canary, where it was one's.

    `segments`: by the settings' names, that it belongs to.
    """

    deployment: str
    request_id: str
    row: int
    at: float
    generation: int
    champion: str
    predictions: Mapping[str, RowPrediction]
    segments: tuple[str, ...] = ()


class Joined(msgspec.Struct, frozen=True, gc=False):
    """A row whose outcome is known; `at` is when its request came, in seconds since the epoch.

    `replaces` is the value that a correction took the place of; `received` when the outcome came; `seq` its number
    among all joins, 0 where that is not known.
    """

    deployment: str
    request_id: str
    row: int
    generation: int
    champion: str
    predictions: Mapping[str, RowPrediction]
    outcome: str | float
    at: float
    replaces: str | float | None = None
    received: float | None = None
    segments: tuple[str, ...] = ()
    seq: int = 0


def rows_of(
    exchange: Exchange, predictions: Mapping[str, Prediction], segments: Sequence[tuple[str, ...]] = ()
) -> list[DecisionRow]:
    """The rows of an exchange. `predictions` by version must hold that of who answered; shorter ones leave rows out.

    `segments`: of each row, or none of any.

    Without that prediction there is no decision, and the list is empty.
    """
    served = exchange.served.version
    said = predictions.get(served)
    if said is None:
        return []
    return [
        DecisionRow(
            deployment=exchange.deployment,
            request_id=exchange.request_id,
            row=row,
            at=exchange.at,
            generation=exchange.generation,
            champion=served,
            predictions={v: _row(prediction, row) for v, prediction in predictions.items() if row < prediction.rows},
            segments=segments[row] if row < len(segments) else (),
        )
        for row in range(said.rows)
    ]


def _row(prediction: Prediction, row: int) -> RowPrediction:
    return RowPrediction(
        label=prediction.labels[row] if prediction.labels is not None else None,
        score=prediction.scores[row] if prediction.scores is not None else None,
    )


class ChampionCoverage(msgspec.Struct, frozen=True):
    """Rows that a version decided as champion, and how many of them have a judged outcome."""

    champion: str
    decided: int
    matched: int
