from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.chunks import LAST_CHUNK, chunk, framed


def test_an_empty_part_is_no_chunk_since_it_would_end_the_body() -> None:
    assert chunk(b"") == b""


def test_a_chunk_tells_its_length_in_hexadecimal() -> None:
    assert chunk(b"a" * 31) == b"1f\r\n" + b"a" * 31 + b"\r\n"


def test_a_whole_body_stands_as_it_is_or_in_one_chunk() -> None:
    assert framed(b"abc", chunked=False) == b"abc"
    assert framed(b"abc", chunked=True) == b"3\r\nabc\r\n0\r\n\r\n"
    assert framed(b"", chunked=True) == LAST_CHUNK


@given(st.lists(st.binary(max_size=40)))
def test_parts_can_be_read_back(parts: list[bytes]) -> None:
    data, body = b"".join(map(chunk, parts)) + LAST_CHUNK, b""
    while True:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
        if size == b"0":
            break
    assert (body, data) == (b"".join(parts), b"")
