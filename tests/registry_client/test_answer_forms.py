from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from registry_client.answer_forms import ALIASES, ARTIFACT, BASELINE, VERSION, VERSIONS, FetchedArtifact, Form
from registry_client.errors import InvalidDocument
from registry_client.from_columns import build_baseline
from registry_client.model import ModelVersion

AT = datetime(2026, 1, 1, 12, 30, 0, 123_456, tzinfo=UTC)
WHOLE = ModelVersion(
    model="fraud ✓",
    version="3",
    created_at=AT,
    digest="sha256:" + "a" * 64,
    lineage={"data": "s3://x", "params.depth": "7"},
    tags={"team": "risk"},
    baseline_digest="sha256:" + "b" * 64,
)
BARE = ModelVersion(model="fraud", version="4", created_at=AT)
DIGEST = "sha256:" + "a" * 64
ANSWERS: list[tuple[Form[Any], Any]] = [
    (ALIASES, {}),
    (ALIASES, {"champion": "3", "✓": "4"}),
    (VERSION, WHOLE),
    (VERSION, BARE),
    (VERSIONS, ()),
    (VERSIONS, (BARE, WHOLE)),
    (ARTIFACT, FetchedArtifact(DIGEST, "model.onnx")),
    (BASELINE, build_baseline({"amount": [1.5, 2.5]}, now=AT)),
]


@pytest.mark.parametrize(("form", "answer"), ANSWERS)
def test_what_is_read_is_what_was_written(form: Form[Any], answer: Any) -> None:
    assert form.read(form.write(answer)) == answer


@pytest.mark.parametrize("form", [ALIASES, VERSION, VERSIONS, ARTIFACT, BASELINE])
@pytest.mark.parametrize("data", [b"", b"null", b"7", b'{"a": 7}', b"[7]", b"\xff", b"[" * 100_000])
def test_anything_else_is_refused(form: Form[Any], data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        form.read(data)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\u0000b", "x" * 256])
def test_an_artifacts_name_is_no_path(name: str) -> None:
    with pytest.raises(InvalidDocument):
        ARTIFACT.read(b'{"digest":"%s","name":"%s"}' % (DIGEST.encode(), name.encode()))


def test_a_time_that_no_calendar_has_in_utc_is_refused() -> None:
    data = VERSION.write(BARE).replace(b"2026-01-01T12:30:00.123456Z", b"0001-01-01T00:00:00+14:00")
    with pytest.raises(InvalidDocument, match="out of range"):
        VERSION.read(data)


def test_text_that_is_not_unicode_is_not_written() -> None:
    with pytest.raises(InvalidDocument, match="Unicode"):
        ALIASES.write({"champion": "\ud800"})
