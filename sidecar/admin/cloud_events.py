"""A CloudEvent out of an HTTP request, binary or structured (CloudEvents 1.0 and 0.3, HTTP protocol binding).

Keeps: the data's bytes are as they were sent, also where they stand as JSON inside a structured event; whatever is
wrong leaves as Invalid or 415, with a sentence. Batches are refused: nobody may send them unasked (HTTP binding, 3.3).
Does not: know what an event is about (`ingest` does), or read from the network.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from sidecar.errors import Invalid

_VERSIONS = ("1.0", "0.3")
_REQUIRED = ("id", "source", "specversion", "type")
_DATA = ("data", "data_base64")
_JSON = "application/json"
_NO_EVENT = (
    "Send one CloudEvent: binary with ce-* headers, or structured with Content-Type: application/cloudevents+json."
)


class CloudEvent(msgspec.Struct, frozen=True):
    """One event. `content_type` and `content_encoding` are the data's."""

    attributes: Mapping[str, str]
    content_type: str
    content_encoding: str
    data: bytes


def read_event(headers: CIMultiDictProxy[str], body: bytes) -> CloudEvent:
    """The event of one request. Raises Invalid, or aiohttp's 415 for what is none, a batch or another format."""
    content_type = headers.get("Content-Type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/cloudevents+json":
        event = _structured(body)
    elif media_type.startswith("application/cloudevents") or not any(
        name.lower().startswith("ce-") for name in headers
    ):
        raise web.HTTPUnsupportedMediaType(reason=_NO_EVENT)
    else:
        event = CloudEvent(_of_headers(headers), content_type, "", body)
    missing = [name for name in _REQUIRED if not event.attributes.get(name)]
    if missing:
        raise Invalid(f"The event lacks {', '.join(missing)}.")
    if event.attributes["specversion"] not in _VERSIONS:
        raise Invalid(f"The event's specversion is none of {', '.join(_VERSIONS)}.")
    return event


def _of_headers(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for header, value in headers.items():
        name = header.lower().removeprefix("ce-")
        if len(name) == len(header):
            continue
        if name in found:
            raise Invalid(f"The event's attribute {name[:100]!r} is there twice.")
        try:
            # HTTP binding, 3.1.3.2: what is not printable ASCII is percent-encoded UTF-8; 0.3 allowed quotes around it.
            text = unquote_to_bytes(value).decode()
        except UnicodeError:
            raise Invalid(f"The event's attribute {name[:100]!r} is no UTF-8.") from None
        found[name] = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return found


def _structured(body: bytes) -> CloudEvent:
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        attributes = {name: _text(raw) for name, raw in members.items() if name not in _DATA and bytes(raw) != b"null"}
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("The event is no JSON object whose attributes are texts, numbers or truth values.") from None
    except RecursionError:
        raise Invalid("The event is nested too deeply.") from None
    content_type = attributes.get("datacontenttype", _JSON)
    return CloudEvent(attributes, content_type, "", _data(members, attributes, content_type))


def _data(members: Mapping[str, msgspec.Raw], attributes: Mapping[str, str], content_type: str) -> bytes:
    """The data's bytes. JSON stands in the event as it is, all else as a text, or in base64."""
    encoded = members.get("data_base64")
    data = members.get("data")
    if encoded is not None and data is not None:
        raise Invalid("The event has data and data_base64; it may have one of them.")
    if data is not None and attributes.get("datacontentencoding", "").lower() == "base64":  # 0.3
        encoded = data
    if encoded is not None:
        try:
            return base64.b64decode(msgspec.json.decode(encoded, type=str), validate=True)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
            raise Invalid("The event's data is no base64.") from None
    if data is None:
        return b""
    raw = bytes(data)
    if raw.startswith(b'"') and "json" not in content_type.lower():
        return msgspec.json.decode(raw, type=str).encode(errors="surrogatepass")
    return raw


def _text(raw: msgspec.Raw) -> str:
    value = msgspec.json.decode(raw, type=str | int | bool)
    return value if isinstance(value, str) else str(value).lower()
