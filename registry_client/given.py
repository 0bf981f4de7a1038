"""What callers hand to a registry, checked and brought into the form in which it is stored.

Invariant: pure but for `digest_of`; whatever is not fit to be stored is an InvalidDocument before anything is
written. Called by every registry that can write.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

import msgspec

from registry_client.baseline import DOCUMENT_LIMIT_BYTES, Baseline, to_json
from registry_client.errors import InvalidDocument, NotFound, Unreachable


def texts(mapping: Mapping[str, str], what: str) -> dict[str, str]:
    """A copy; InvalidDocument where something else than texts would be written."""
    try:
        copied = msgspec.convert(dict(mapping), dict[str, str])
        msgspec.json.encode(copied)
    except msgspec.ValidationError as error:
        raise InvalidDocument(f"{what} must be texts: {error}") from error
    except UnicodeEncodeError as error:
        raise InvalidDocument(f"{what} hold text that is not Unicode: {error.reason}") from error
    return copied


def baseline_bytes(model: str, version: str, baseline: Baseline) -> bytes:
    """The document as it is stored beside that version; InvalidDocument where it is another version's."""
    check_named(model, version, baseline)
    data = to_json(baseline)
    if len(data) > DOCUMENT_LIMIT_BYTES:
        raise InvalidDocument(f"a baseline of {len(data)} bytes is larger than {DOCUMENT_LIMIT_BYTES}")
    return data


def check_named(model: str, version: str, baseline: Baseline) -> None:
    """InvalidDocument where the baseline names another model or version. An empty version is not known yet."""
    named = (baseline.model or model, baseline.version or version)
    if named[0] != model or (version and named[1] != version):
        raise InvalidDocument(f"the baseline is one of {named[0]}/{named[1]}, not of {model}/{version}")


def digest_of(artifact: Path) -> str:
    """`sha256:<hex>` of a file; NotFound where there is none, Unreachable where it cannot be read. Blocking."""
    try:
        with artifact.open("rb") as file:
            return f"sha256:{file_digest(file, 'sha256').hexdigest()}"
    except FileNotFoundError as error:
        raise NotFound(f"there is no artifact {artifact}") from error
    except OSError as error:
        raise Unreachable(f"{artifact} cannot be read: {error.strerror}") from error
