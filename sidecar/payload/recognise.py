"""Which protocol a body speaks, for `protocol: auto`: by its route first, then by its content type, then by its keys.

Invariant: what is recognised is read by exactly one reader; bodies for language models are recognised and left alone.
`inputs` is the trap: tensors of Open Inference, columns of TensorFlow Serving, or anything of MLflow's.
Called by `reading`. The protocols' public documentation names the routes and the keys.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from sidecar.payload.message import Message, media_type_of
from sidecar.payload.undecodable import Undecodable

Known = Literal["oip", "kserve-v1", "tfserving", "mlflow", "seldon", "json", "csv"]

# Routes in the order in which they are looked for; None: a language model's, or a generator's.
_ROUTES: tuple[tuple[re.Pattern[str], Known | None], ...] = (
    (re.compile(r"/v1/models/[^/:]+(?:/(?:versions|labels)/[^/:]+:\w+|:classify|:regress)$"), "tfserving"),
    (re.compile(r"/api/v[01]\.[01]/predictions$"), "seldon"),
    (re.compile(r"/v1/(?:chat/completions|completions|embeddings|responses)$"), None),
    (re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?/generate(?:_stream)?$"), None),
)
_OIP_ROUTE = re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?/infer$")
# Forms that cannot be read as text, whatever else they claim.
_NO_TEXT = ("application/grpc", "application/x-protobuf", "application/vnd.apache", "multipart/")
CSV_TYPES = frozenset({"text/csv", "application/csv"})
_LANGUAGE_KEYS = frozenset({"messages", "prompt", "input"})
_LANGUAGE_ANSWERS = frozenset({"list", "chat.completion", "text_completion"})
_SELDON_KEYS = frozenset({"jsonData", "strData", "binData"})
_SELDON_DATA = frozenset({"ndarray", "tensor", "tftensor"})
_MOST_KEPT = 256


def by_route(message: Message) -> Known | None:
    """What the route, or the content type, says before anything is parsed; None where only the keys can tell.

    Raises:
        Undecodable: "protocol" for what has no features, or cannot be read.
    """
    # A deployment's requests have few routes and types; what anybody may send must not be kept if it is long.
    short = len(message.path) + len(message.content_type) <= _MOST_KEPT
    known = (_known if short else _known.__wrapped__)(message.path, message.content_type, message.json_bytes >= 0)
    if known == "":
        raise Undecodable("protocol")
    return known


@lru_cache(maxsize=512)
def _known(path: str, content_type: str, in_parts: bool) -> Known | Literal[""] | None:
    """See `by_route`; empty where nothing can be read."""
    media_type = media_type_of(content_type)
    if media_type.startswith(_NO_TEXT):
        return ""
    if in_parts or (path.endswith("/infer") and _OIP_ROUTE.search(path)):
        return "oip"
    if media_type in CSV_TYPES:
        return "csv"
    return next((known or "" for route, known in _ROUTES if route.search(path)), None)


def request_by_keys(document: object) -> Known:
    """What the keys of a request say; any other object or list is plain JSON.

    Raises:
        Undecodable: "protocol" for a language model's body.
    """
    if not isinstance(document, dict):
        return "json"
    inputs = document.get("inputs")
    is_rows = "instances" in document
    said: tuple[tuple[bool, Known], ...] = (
        (is_rows, "tfserving" if "signature_name" in document else "kserve-v1"),
        (_are_tensors(inputs), "oip"),
        (isinstance(inputs, (dict, list)) or isinstance(document.get("examples"), list), "tfserving"),
        ("dataframe_split" in document or "dataframe_records" in document, "mlflow"),
        (isinstance(document.get("input_data"), dict), "mlflow"),
        (_is_seldon(document), "seldon"),
    )
    known = _first(said)
    if known is None and (
        isinstance(document.get("messages"), list) or ("model" in document and not _LANGUAGE_KEYS.isdisjoint(document))
    ):
        raise Undecodable("protocol")
    return known or "json"


def answer_by_keys(document: object) -> Known:
    """What the keys of an answer say; any other is plain JSON.

    Raises:
        Undecodable: "protocol" for a language model's answer.
    """
    if not isinstance(document, dict):
        return "json"
    outputs = document.get("outputs")
    said: tuple[tuple[bool, Known], ...] = (
        (_are_tensors(outputs), "oip"),
        (isinstance(document.get("predictions"), (list, dict)), "kserve-v1"),
        (isinstance(outputs, (dict, list)) or isinstance(document.get("results"), list), "tfserving"),
        (_is_seldon(document), "seldon"),
    )
    known = _first(said)
    what = document.get("object")
    if known is None and ("choices" in document or (isinstance(what, str) and what in _LANGUAGE_ANSWERS)):
        raise Undecodable("protocol")
    return known or "json"


def _first(said: tuple[tuple[bool, Known], ...]) -> Known | None:
    return next((known for so, known in said if so), None)


def _are_tensors(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "datatype" in value[0]


def _is_seldon(document: dict[str, object]) -> bool:
    data = document.get("data")
    if isinstance(data, dict):
        return not data.keys().isdisjoint(_SELDON_DATA)
    return not _SELDON_KEYS.isdisjoint(document)
