"""The entry to payloads: unpacks, recognises, and hands the body to its protocol's reader.

Invariant: only `Undecodable` leaves, whatever the bytes are; they are read, never changed. The content type is no
discriminator but for CSV: real clients send none, or `text/plain`; an answer is read by what it is, since servers
answer JSON where binary tensors were asked for. Called by control, for requests and for answers.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sidecar.json_path import Steps
from sidecar.payload import kserve_v1, mlflow, oip, oip_binary, plain_csv, plain_json, seldon, tfserving
from sidecar.payload.columns import Columns
from sidecar.payload.content_coding import plain
from sidecar.payload.document import parse
from sidecar.payload.message import Message
from sidecar.payload.outputs import prediction_of
from sidecar.payload.plain_json import at_path
from sidecar.payload.recognise import CSV_TYPES, Known, answer_by_keys, by_route, request_by_keys
from sidecar.payload.rows_at_once import rows_of_numbers
from sidecar.payload.tensors_at_once import binary_columns, input_columns, output_tensors
from sidecar.records import Prediction

Protocol = Literal["auto", "oip", "kserve-v1", "tfserving", "mlflow", "seldon", "json"]

_READERS: dict[Known, Any] = {
    "oip": oip,
    "kserve-v1": kserve_v1,
    "tfserving": tfserving,
    "mlflow": mlflow,
    "seldon": seldon,
    "json": plain_json,
}
_OF_ROWS = frozenset({"kserve-v1", "tfserving", "mlflow"})
_ROUTES_OF_ROWS = (":predict", "/invocations")
_JSON_LINES = frozenset({"application/jsonlines", "application/x-ndjson", "application/jsonl"})


class Reading(msgspec.Struct, frozen=True):
    """How one deployment's payloads are read.

    Attributes:
        names: the features in order, used where the payload has no names and the count fits.
        prediction: the output that is monitored; None: the score.
        row_path: where the rows lie in a request of plain JSON; `score_path` the predictions in an answer.
        texts: features that hold texts, which CSV cannot tell from numbers.
    """

    protocol: Protocol = "auto"
    names: tuple[str, ...] = ()
    prediction: str | None = None
    row_path: Steps | None = None
    score_path: Steps | None = None
    texts: frozenset[str] = frozenset()


def read_features(reading: Reading, message: Message) -> tuple[int, Columns]:
    """Rows and feature columns of a request; every column has as many values.

    Raises:
        Undecodable: with the reason.
    """
    columns = _columns(reading, message, plain(message.body, message.content_encoding))
    return columns.rows, columns


def _columns(reading: Reading, message: Message, body: bytes) -> Columns:
    names, protocol = reading.names, _protocol(reading.protocol, reading.row_path, message)
    if protocol == "csv":
        header = reading.protocol == "mlflow"
        return plain_csv.features(body, names, header=header, texts=reading.texts)
    short: Columns | None = None
    if protocol == "oip":
        if message.json_bytes >= 0:
            block = binary_columns(body, message.json_bytes, names)
            return oip_binary.features(body, message.json_bytes, names) if block is None else block
        short = input_columns(body, names)
    elif protocol in _OF_ROWS or (protocol is None and message.path.endswith(_ROUTES_OF_ROWS)):
        short = rows_of_numbers(body, names)
    if short is not None:
        return short
    document = _document(protocol, message, body)
    if reading.row_path is not None:
        document = at_path(document, reading.row_path)
    columns: Columns = _READERS[protocol or request_by_keys(document)].features(document, names)
    return columns


def read_prediction(reading: Reading, message: Message) -> Prediction:
    """Labels and scores of an answer, one per row. `message.path` is the request's.

    Raises:
        Undecodable: with the reason.
    """
    body = plain(message.body, message.content_encoding)
    protocol = _protocol(reading.protocol, reading.score_path, message)
    if protocol == "csv":
        return plain_csv.prediction(body, reading.prediction)
    if protocol == "oip":
        if message.json_bytes >= 0:
            return oip_binary.prediction(body, message.json_bytes, reading.prediction)
        outputs = output_tensors(body)
        if outputs is not None:
            return prediction_of(outputs, reading.prediction)
    document = _document(protocol, message, body)
    if reading.score_path is not None:
        document = at_path(document, reading.score_path)
    elif reading.protocol == "auto":
        said = answer_by_keys(document)
        protocol = said if said != "json" or protocol is None else protocol
    prediction: Prediction = _READERS[protocol or "json"].prediction(document, reading.prediction)
    return prediction


def _protocol(setting: Protocol, path: Steps | None, message: Message) -> Known | None:
    """The protocol; None where only the keys can tell."""
    if setting == "mlflow" and message.media_type in _JSON_LINES:
        return "json"  # a line a row, under no key of MLflow's
    if setting != "auto":
        return "csv" if setting in ("json", "mlflow") and message.media_type in CSV_TYPES else setting
    known = by_route(message)
    # A path says that this is plain JSON, whatever its keys look like.
    return "json" if path is not None and known != "csv" else known


def _document(protocol: Known | None, message: Message, body: bytes) -> Any:
    if message.media_type in _JSON_LINES:
        return parse(b"[%s]" % b",".join(line for line in body.splitlines() if line.strip()))
    if protocol == "seldon" or body.startswith(b"json="):
        body = seldon.message_in_form(body)
    return parse(body)
