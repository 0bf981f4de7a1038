from __future__ import annotations

import gzip
import time
import zlib

import pytest

from sidecar.payload import Undecodable
from sidecar.payload.content_coding import FREE_BYTES, MOST_BYTES, plain
from tests.payload.samples import V2, answer, features, prediction, request, tensor

BODY = request(tensor("a", "FP32", [1], [1.5]))


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        (" X-Gzip ", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("identity", BODY),
    ],
)
def test_a_compressed_body_is_read_and_left_as_it_is(coding: str, packed: bytes) -> None:
    before = bytes(packed)
    assert features(packed, path=V2, content_encoding=coding) == (1, {"a": [1.5]})
    assert packed == before


def test_the_json_of_a_compressed_binary_request_is_measured_unpacked() -> None:
    head = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'
    packed = gzip.compress(head + b"\0\0\x80?")
    assert features(packed, path=V2, content_encoding="gzip", json_bytes=len(head)) == (1, {"a": [1.0]})


def test_answers_are_unpacked_too() -> None:
    packed = gzip.compress(answer(tensor("score", "FP32", [1], [0.5])))
    assert prediction(packed, path=V2, content_encoding="gzip").scores == (0.5,)


@pytest.mark.parametrize(
    ("coding", "packed", "reason"),
    [
        ("br", BODY, "encoding"),
        ("zstd", BODY, "encoding"),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY, mtime=0), mtime=0), "encoding"),
        ("identity, gzip", gzip.compress(BODY, mtime=0), "encoding"),
        ("gzip", BODY, "encoding"),
        ("gzip", b"", "encoding"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-1], "encoding"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-8] + b"\0" * 8, "encoding"),
        ("gzip", gzip.compress(BODY, mtime=0) + b"x", "encoding"),
        ("gzip", gzip.compress(BODY, mtime=0) * 2, "encoding"),
        ("deflate", zlib.compress(BODY)[:-4], "encoding"),
        ("deflate", b"", "encoding"),
        ("deflate", b"\x78", "encoding"),
        ("gzip", gzip.compress(b"\0" * (FREE_BYTES * 8), mtime=0), "too_large"),
        ("deflate", zlib.compress(b" " * (MOST_BYTES * 2)), "too_large"),
    ],
)
def test_what_cannot_be_unpacked_within_bounds_is_undecodable(coding: str, packed: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        plain(packed, coding)
    assert caught.value.reason == reason


def test_a_bomb_in_many_members_takes_no_more_time_than_a_large_body() -> None:
    members = gzip.compress(b"") * 150_000
    started = time.process_time()
    with pytest.raises(Undecodable):
        plain(members, "gzip")
    assert time.process_time() - started < 0.5


def test_what_is_unpacked_is_bounded_to_the_byte() -> None:
    fits = b"x" * FREE_BYTES
    assert plain(gzip.compress(fits, mtime=0), "gzip") == fits
