"""What a folder registry writes beside a version's files, and reads again.

Invariant: what is read has every field in its shape, or is an InvalidDocument that names the file. Called by
`directory`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from registry_client.errors import InvalidDocument
from registry_client.model import ModelVersion

_Document = TypeVar("_Document")
_Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]


class VersionDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of version.json."""

    format: Literal["sidecar-version/1"] = "sidecar-version/1"
    model: str
    version: str
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    digest: _Digest | None = None
    lineage: dict[str, str] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    baseline_digest: _Digest | None = None


def decoded(path: Path, data: bytes, kind: type[_Document]) -> _Document:
    """The document in a file; InvalidDocument."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"{path} cannot be read: {error}") from error


def model_version(document: VersionDocument) -> ModelVersion:
    """The version that it describes, its time in UTC."""
    return ModelVersion(
        model=document.model,
        version=document.version,
        created_at=document.created_at.astimezone(UTC),
        digest=document.digest,
        lineage=document.lineage,
        tags=document.tags,
        baseline_digest=document.baseline_digest,
    )
