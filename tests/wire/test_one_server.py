"""Requests that only one server may get."""

from __future__ import annotations

import pytest

from sidecar.wire.one_server import json_bytes, one_server_only

SEQUENCE = b'{"parameters":{"sequence_id": 7}}'
REGION = b'"parameters":{"shared_memory_region":"r"}}]}'


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"147", 147), (b" 0\t", 0), (b"", -1), (b"-1", -1), (b"1.0", -1), (b"1 2", -1), (b"9" * 13, -1), (b"\xb2", -1)],
)
def test_the_header_is_a_length_or_nothing(value: bytes, length: int) -> None:
    assert json_bytes(value) == length


@pytest.mark.parametrize(
    ("body", "json_size", "only"),
    [
        (b'{"inputs":[{"name":"x","data":[1,2]}]}', -1, False),
        (b'{"parameters":{"sequence_id":7,"sequence_start":true},"inputs":[]}', -1, True),
        (b'{"parameters":{"sequence_id" : "abc"},"inputs":[]}', -1, True),
        (b'{"parameters":{"sequence_id":0},"inputs":[]}', -1, False),
        (b'{"inputs":[{"name":"sequence_id","data":[1]}]}', -1, False),
        (b'{"inputs":[{"name":"x","parameters":{"shared_memory_region":"r"}}]}', -1, True),
        (b'{"inputs":[{"name":"shared_memory_region","data":[1]}]}', -1, False),
        (b'{"inputs":[{"name":"sequence_id"}],"parameters":{"sequence_id":7}}', -1, True),
        # Behind the JSON come raw tensors, where any bytes may stand.
        (b'{"inputs":[]}"sequence_id":7', 13, False),
        (b'{"parameters":{"sequence_id":7}}\0\0', 32, True),
        (b'"sequence_id":7', 0, False),
        (b'{"sequence_id":7}', 10**11, True),
        (b"", -1, False),
    ],
)
def test_a_sequence_or_shared_memory_is_told_by_its_key(body: bytes, json_size: int, only: bool) -> None:
    assert one_server_only(body, json_size) is only


@pytest.mark.parametrize(
    "value",
    [b"0}", b" 0}", b"\n  0 , 1]", b'""}', b' "" ,', b"null}", b" null,"],
    ids=["0", "1", "2", "3", "4", "5", "6"],
)
def test_a_sequence_of_nothing_is_none(value: bytes) -> None:
    assert not one_server_only(b'{"parameters":{"sequence_id":' + value, -1)


def test_of_long_json_both_ends_are_looked_at_and_what_lies_behind_it_is_not() -> None:
    numbers = b"1," * 100_000
    for before, after in ((SEQUENCE, b""), (b"", SEQUENCE), (b"", b'"outputs":[{' + REGION)):
        body = before + numbers + after
        assert one_server_only(body, -1)
        assert one_server_only(body + b"\0" * 100_000, len(body))
    assert not one_server_only(numbers + SEQUENCE, len(numbers))
    assert not one_server_only(numbers + numbers, -1)
