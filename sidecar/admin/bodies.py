"""Request bodies and query values: read within a size and a time, decoded into typed models, unknown keys refused.

Keeps: nothing untyped goes past here; every refusal names the key. Does not: judge whether the call is allowed or makes
sense. Called by the handlers of `api`.
"""

from __future__ import annotations

import asyncio
import math
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web

from sidecar.errors import Invalid
from sidecar.records import Outcome

OUTCOMES_BYTES = 16 << 20
FEATURES_BYTES = 8 << 20
BODY_BYTES = 64 << 10
_READ_TIMEOUT_S = 30.0

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
MaybeReason = Annotated[str, msgspec.Meta(max_length=2000)]
Version = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Digest = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
FeatureName = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
FeatureValue = bool | int | float | Annotated[str, msgspec.Meta(max_length=1_024)] | None
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Promote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/promote`, and `POST …/override`."""

    challenger: Version
    reason: Reason
    expected_champion: Version | None = None
    evidence: str | None = None
    dry_run: bool = False
    force: bool = False
    plan: Digest | None = None


class Approve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/approvals`; to withdraw no evidence is needed."""

    challenger: Version
    reason: Reason
    evidence: Digest | None = None
    withdraw: bool = False


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/canary`; to abort, `challenger` may be left out, and of the rest only reason and dry run count."""

    reason: Reason
    challenger: Version | None = None
    abort: bool = False
    expected_champion: Version | None = None
    evidence: Digest | None = None
    dry_run: bool = False
    force: bool = False


class Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/hold`."""

    version: Version
    held: bool
    reason: Reason


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/rollback`."""

    reason: Reason
    to: Version | None = None
    force: bool = False


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/alarms/{id}/acknowledge`."""

    reason: Reason


class FreezeReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/drift/reference`."""

    reason: Reason


class Rehearse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/gates/rehearsal`: `gates` as in the settings file, where their one check is; none: those in force."""

    gates: dict[str, Any] | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=92)] = 7
    challenger: Version | None = None


class SendAgain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/events/dead-letters/{letter}/resend`."""

    reason: Reason


class KeptHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/audit/verify`: a head as `GET /v1/audit/head` gave it."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=10**15)]
    hash: Annotated[str, msgspec.Meta(max_length=200)]
    at: float | None = None
    key: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    mac: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class SwitchShadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/shadow`."""

    enabled: bool
    reason: MaybeReason = ""


class RemoveChallenger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`DELETE …/challengers/{version}`; the whole body may be left out."""

    reason: MaybeReason = ""


class Reconcile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/registry/reconcile`; `expected` is the registry's version that the person has seen."""

    take: Literal["sidecar", "registry"]
    reason: Reason
    expected: Version | None = None


class SetChallenger(msgspec.Struct, frozen=True):
    """`PUT …/challengers/{version}`: `settings` under the settings file's keys, where their one check is."""

    settings: dict[str, object]
    reason: str


class PostedOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One outcome as posted. Truth values are the labels "true" and "false"; numbers are numbers."""

    request_id: RequestId
    outcome: bool | float | Annotated[str, msgspec.Meta(max_length=1000)]
    row: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    at: Moment | None = None
    corrects: bool = False

    def outcome_at(self, now: float) -> Outcome:
        """The record; an outcome that does not say when is from now."""
        value = ("true" if self.outcome else "false") if isinstance(self.outcome, bool) else self.outcome
        at = now if self.at is None else self.at.timestamp()
        return Outcome(self.request_id, self.row, value, at, self.corrects)


class PostedOutcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/outcomes`."""

    outcomes: Annotated[tuple[PostedOutcome, ...], msgspec.Meta(max_length=100_000)]


class PostedRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row as an offline pipeline computed it; a feature that it has no value for is null."""

    request_id: RequestId
    features: Annotated[dict[FeatureName, FeatureValue], msgspec.Meta(min_length=1, max_length=5_000)]
    row: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class PostedRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/features`."""

    rows: Annotated[tuple[PostedRow, ...], msgspec.Meta(max_length=1_000)]


Model = TypeVar("Model")


async def read_body(request: web.Request, model: type[Model], limit_bytes: int = BODY_BYTES) -> Model:
    """Reads and decodes a JSON body. Raises Invalid (400), or aiohttp's 408, 413 and 415."""
    return _decoded(await read_bytes(request, limit_bytes), model)


async def read_removal(request: web.Request) -> RemoveChallenger:
    """The body of a DELETE, which has none most of the time. Raises as `read_body`."""
    body = await read_bytes(request, BODY_BYTES)
    return _decoded(body, RemoveChallenger) if body else RemoveChallenger()


async def read_challenger(request: web.Request) -> SetChallenger:
    """A challenger's settings and the reason beside them. Raises as `read_body`."""
    members = _decoded(await read_bytes(request, BODY_BYTES), dict[str, object])
    reason = members.pop("reason", "")
    if not isinstance(reason, str) or len(reason) > 2000:
        raise Invalid("reason: must be text of at most 2000 characters.")
    return SetChallenger(settings=members, reason=reason)


async def read_bytes(request: web.Request, limit_bytes: int) -> bytes:
    """Reads a JSON body as it comes. Raises aiohttp's 408, 413 and 415."""
    if "Content-Type" in request.headers and not _json(request.content_type):
        raise web.HTTPUnsupportedMediaType(reason="Send JSON, with Content-Type: application/json.")
    return await read_whole(request, limit_bytes)


async def read_whole(request: web.Request, limit_bytes: int) -> bytes:
    """Reads a body of any kind as it comes. Raises Invalid, or aiohttp's 408 and 413."""
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk  # counted as decoded: a small gzip body may be a large document
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason="The body took too long to arrive.") from None
    except web.RequestPayloadError:
        raise Invalid("The body is not what its Content-Encoding says, or its chunks are broken.") from None
    return bytes(body)


def _decoded(body: bytes, model: type[Model]) -> Model:
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise Invalid(f"The body is not what this call takes: {str(error)[:300]}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("The body is not valid JSON.") from None
    except RecursionError:
        raise Invalid("The body is nested too deeply.") from None


def query(request: web.Request, *known: str) -> dict[str, str]:
    """The query's values. An unknown or repeated name is refused: ignoring a typo would answer another question."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Invalid(f"This call does not know the query parameter {name[:100]!r}; {takes}.")
        if name in found:
            raise Invalid(f"The query parameter {name} is there twice.")
        found[name] = value
    return found


def whole(values: dict[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number of the query, within its bounds."""
    text = values.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and lowest <= int(text) <= highest):
        raise Invalid(f"{name} is a whole number from {lowest} to {highest}.")
    return int(text)


def moment(values: dict[str, str], name: str) -> float | None:
    """A time of the query in seconds since the epoch. A `+` that became a space in the query is forgiven."""
    text = values.get(name)
    if text is None:
        return None
    try:
        at_s = msgspec.convert(text.replace(" ", "+"), Moment).timestamp()
    except (msgspec.ValidationError, OverflowError):
        raise Invalid(f"{name} is a time such as 2026-01-31T12:00:00Z.") from None
    if not math.isfinite(at_s):
        raise Invalid(f"{name} is out of range.")
    return at_s


def idempotency_key(request: web.Request) -> str | None:
    """The Idempotency-Key header, if there is one."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid("Idempotency-Key is 1 to 255 printable ASCII characters.")
    return key


def _json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _too_large(limit_bytes: int) -> web.HTTPException:
    says = f"The body is larger than the {limit_bytes:,} bytes that this call takes."
    return web.HTTPRequestEntityTooLarge(max_size=limit_bytes, actual_size=limit_bytes + 1, reason=says)
