from __future__ import annotations

import gzip
import zlib

import pytest

from sidecar.model_server.body import decoded
from sidecar.model_server.errors import RequestRefused

PLAIN = b'{"inputs":[]}'


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PLAIN, ""),
        (PLAIN, "identity"),
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0), " GZIP "),
        (gzip.compress(PLAIN, mtime=0), "x-gzip"),
        (zlib.compress(PLAIN), "deflate"),
    ],
)
def test_a_body_is_unpacked(body: bytes, encoding: str) -> None:
    assert decoded(body, encoding, len(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    ("body", "encoding", "status", "sentence"),
    [
        (b"", "gzip", 400, "not one whole gzip stream"),
        (PLAIN, "gzip", 400, "not valid gzip"),
        (PLAIN, "deflate", 400, "not valid deflate"),
        (gzip.compress(PLAIN, mtime=0)[:-1], "gzip", 400, "not one whole gzip stream"),
        (gzip.compress(PLAIN, mtime=0) + b"x", "gzip", 400, "not one whole gzip stream"),
        (gzip.compress(b" " * 10_000_000, mtime=0), "gzip", 413, "over 1000 bytes"),
        (PLAIN, "br", 415, "gzip, deflate or identity"),
        (PLAIN, "gzip, gzip", 415, "gzip, deflate or identity"),
    ],
)
def test_what_is_not_what_it_says_is_refused(body: bytes, encoding: str, status: int, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        decoded(body, encoding, 1000)
    assert refusal.value.status == status
    assert sentence in str(refusal.value)
