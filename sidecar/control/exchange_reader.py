"""What one deployment's exchanges say: bytes of requests and answers to columns and predictions, faults counted.

Keeps: a body that cannot be read is counted once, by reason, and is never an error. Reads copies only.
Does not: sample, observe or keep anything. Called by: the deployment's watch.
"""

from __future__ import annotations

from collections import Counter

from registry_client.baseline import Baseline
from sidecar.config import Deployment
from sidecar.json_path import Steps, parse_path
from sidecar.payload.columns import Columns
from sidecar.payload.message import Message
from sidecar.payload.reading import Reading, read_features, read_prediction
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Answer, Exchange, Leg, Prediction


class ExchangeReader:
    """Counts by reason what it could not read: the observers know how many, telemetry also why."""

    def __init__(self, deployment: Deployment, baseline: Baseline | None) -> None:
        self._reading = reading_of(deployment, baseline)
        self.unread_requests: Counter[str] = Counter()
        self.unread_answers: Counter[str] = Counter()

    def follow(self, deployment: Deployment, baseline: Baseline | None) -> None:
        """Reads by other settings or another baseline from now on; what was counted stays."""
        self._reading = reading_of(deployment, baseline)

    def features(self, exchange: Exchange) -> tuple[int, Columns] | None:
        """Rows and columns of the request; None where they could not be read."""
        message = Message(
            exchange.body, exchange.path, exchange.content_type, exchange.content_encoding, exchange.json_bytes
        )
        try:
            return read_features(self._reading, message)
        except Undecodable as fault:
            self.unread_requests[fault.reason] += 1
            return None

    def prediction(self, leg: Leg, path: str) -> Prediction | None:
        """What a version said to a request of this path; None without a usable answer."""
        answer: Answer | None = leg.answer
        if answer is None or leg.error is not None:
            return None
        message = Message(answer.body, path, answer.content_type, answer.content_encoding, answer.json_bytes)
        try:
            return read_prediction(self._reading, message)
        except Undecodable as fault:
            self.unread_answers[fault.reason] += 1
            return None


def reading_of(deployment: Deployment, baseline: Baseline | None) -> Reading:
    """How its payloads are read: by its settings, and by the names and kinds of its baseline's features."""
    payload, features = deployment.payload, () if baseline is None else baseline.features
    return Reading(
        protocol=deployment.protocol,
        names=payload.features or tuple(feature.name for feature in features),
        prediction=payload.prediction,
        row_path=_steps(payload.row_path),
        score_path=_steps(payload.score_path),
        texts=frozenset(feature.name for feature in features if feature.kind == "categorical"),
    )


def _steps(path: str | None) -> Steps | None:
    return None if path is None else parse_path(path)
