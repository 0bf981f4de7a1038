"""The answers of a registry as JSON and back, for the cache.

Invariant: what `read` returns is what was written, or InvalidDocument. Pure. Called by the cache, in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from registry_client.baseline import Baseline, from_json, to_json
from registry_client.errors import InvalidDocument
from registry_client.model import ModelVersion

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Form(Generic[Answer]):
    """How one kind of answer is written and read; both may raise InvalidDocument."""

    write: Callable[[Answer], bytes]
    read: Callable[[bytes], Answer]


class _Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    version: str
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    digest: str | None
    lineage: dict[str, str]
    tags: dict[str, str]
    baseline_digest: str | None


class FetchedArtifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An artifact that lies among the kept ones: the digest of its bytes, and the name that the registry gave it."""

    digest: str
    # A plain name: it becomes part of a path.
    name: Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}$)[^/\x00]{1,255}$")]


def _kept(version: ModelVersion) -> _Version:
    return _Version(
        model=version.model,
        version=version.version,
        created_at=version.created_at,
        digest=version.digest,
        lineage=dict(version.lineage),
        tags=dict(version.tags),
        baseline_digest=version.baseline_digest,
    )


def _model_version(kept: _Version) -> ModelVersion:
    try:
        created_at = kept.created_at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidDocument(f"created_at of {kept.model}/{kept.version} lies out of range in UTC") from error
    return ModelVersion(
        model=kept.model,
        version=kept.version,
        created_at=created_at,
        digest=kept.digest,
        lineage=kept.lineage,
        tags=kept.tags,
        baseline_digest=kept.baseline_digest,
    )


def _encoded(content: object) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError as error:
        raise InvalidDocument(f"an answer that is not Unicode cannot be kept: {error.reason}") from error


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"a kept answer cannot be read: {error}") from error


def _read_aliases(data: bytes) -> Mapping[str, str]:
    found: dict[str, str] = _decoded(data, dict[str, str])
    return found


def _read_artifact(data: bytes) -> FetchedArtifact:
    found: FetchedArtifact = _decoded(data, FetchedArtifact)
    return found


ALIASES: Form[Mapping[str, str]] = Form(lambda found: _encoded(dict(found)), _read_aliases)
VERSION: Form[ModelVersion] = Form(
    lambda found: _encoded(_kept(found)), lambda data: _model_version(_decoded(data, _Version))
)
VERSIONS: Form[tuple[ModelVersion, ...]] = Form(
    lambda found: _encoded([_kept(version) for version in found]),
    lambda data: tuple(_model_version(kept) for kept in _decoded(data, list[_Version])),
)
BASELINE: Form[Baseline] = Form(to_json, from_json)
ARTIFACT: Form[FetchedArtifact] = Form(_encoded, _read_artifact)
