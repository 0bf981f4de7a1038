from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.header_lines import rewrite, without
from sidecar.wire.request_head import Headers

NAMES = st.text("abcXYZ-_.~09", min_size=1, max_size=8).map(str.encode)
VALUES = st.binary(max_size=20).filter(lambda value: b"\r" not in value and b"\n" not in value)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=10), st.frozensets(NAMES.map(bytes.lower), max_size=4))
def test_without_takes_off_the_named_and_keeps_the_rest(headers: Headers, names: frozenset[bytes]) -> None:
    flat = [part for name, value in headers for part in (name, b": ", value, b"\r\n")]
    kept = [part for name, value in headers if name.lower() not in names for part in (name, b": ", value, b"\r\n")]
    assert without(flat, names) == kept


def test_a_length_is_said_plainly_where_it_stands() -> None:
    lines = [b"A", b": ", b"007", b"\r\n", b"Content-LENGTH", b": ", b"007 ", b"\r\n", b"B", b": ", b"", b"\r\n"]
    rewrite(lines, b"content-length", b"7")
    assert b"".join(lines) == b"A: 007\r\nContent-LENGTH: 7\r\nB: \r\n"
