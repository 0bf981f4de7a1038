"""MLflow's webhooks: is a message really from our registry, and what does it say.

Invariant: nothing of a message is believed before its signature was compared in constant time and its time found
near ours; what it says is a hint to ask the registry, never a fact to act upon. Pure: headers and body in, an event
out. A message may come twice; whoever must not act twice keeps the `delivery`. Called by the sidecar's admin API.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

import msgspec

from registry_client.errors import InvalidDocument, Refused

BODY_LIMIT_BYTES = 256 * 1024
_ALIAS = "model_version_alias"
_SHORT = 256

_Short = Annotated[str, msgspec.Meta(max_length=_SHORT)]


@dataclass(frozen=True, slots=True)
class AliasEvent:
    """An alias was set to a version, or taken away (`version` is None). Moving one is told as setting it."""

    delivery: str
    model: str
    alias: str
    version: str | None


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """Something else happened, e.g. `model_version.created`; `model` where the message names one."""

    delivery: str
    kind: str
    model: str | None


class _Data(msgspec.Struct, frozen=True):
    name: _Short | None = None
    alias: _Short | None = None
    version: _Short | None = None


class _Message(msgspec.Struct, frozen=True):
    entity: _Short
    action: _Short
    data: _Data = _Data()


def signature(secret: bytes, delivery: str, timestamp: str, body: bytes) -> str:
    """What MLflow 3 puts into `X-MLflow-Signature`.

    >>> signature(b"secret", "1", "1700000000", b"{}")[:3]
    'v1,'
    """
    signed = hmac.new(secret, f"{delivery}.{timestamp}.".encode() + body, sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def verified(
    secret: bytes, headers: Mapping[str, str], body: bytes, now: float, tolerance_s: float = 300.0
) -> AliasEvent | OtherEvent:
    """The event of a message; `now` in seconds since 1970.

    Refused where the signature or its time will not do, InvalidDocument where what was signed cannot be read.
    """
    if not secret:
        raise Refused("a webhook needs a secret: messages that anyone could sign are not taken")
    if len(body) > BODY_LIMIT_BYTES:
        raise InvalidDocument(f"a webhook's message of {len(body)} bytes is larger than {BODY_LIMIT_BYTES}")
    lowered = {name.lower(): value for name, value in headers.items()}
    delivery, timestamp, given = (
        lowered.get(f"x-mlflow-{name}", "") for name in ("delivery-id", "timestamp", "signature")
    )
    if not (delivery and timestamp and given):
        raise Refused("a webhook's message carries no X-MLflow-Delivery-Id, -Timestamp and -Signature")
    if len(delivery) > _SHORT or not delivery.isascii() or not delivery.isprintable():
        raise Refused("a webhook's message carries a delivery id that MLflow would not give")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused("a webhook's message carries a time that is no number of seconds")
    # As bytes: compare_digest takes no other text than ASCII.
    expected = signature(secret, delivery, timestamp, body).encode()
    if not hmac.compare_digest(expected, given.encode("utf-8", "replace")):
        raise Refused("a webhook's message is not signed with our secret")
    if not abs(now - int(timestamp)) <= tolerance_s:
        raise Refused(f"a webhook's message was signed over {tolerance_s:g} seconds from now; are the clocks right?")
    return _event(delivery, body)


def _event(delivery: str, body: bytes) -> AliasEvent | OtherEvent:
    try:
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"a webhook's message cannot be read: {error}") from error
    data = message.data
    if message.entity.lower() != _ALIAS:
        return OtherEvent(delivery, f"{message.entity}.{message.action}".lower(), data.name)
    if data.name is None or data.alias is None:
        raise InvalidDocument("a webhook's message about an alias names no model or no alias")
    version = None if message.action.lower() == "deleted" else data.version
    return AliasEvent(delivery, data.name, data.alias, version)
