from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.frames import FRAME_BYTES, BrokenFrame, FrameReader, frame

STREAM = frame(b"") + frame(b"abc") + frame(b"x" * 300)
CONTENTS = [b"", b"abc", b"x" * 300]


def test_a_frame_is_its_length_and_its_content() -> None:
    assert frame(b"abc") == b"\0\0\0\x03abc"


def test_frames_are_read_whole_bytewise_and_at_every_split() -> None:
    assert list(FrameReader().feed(STREAM)) == CONTENTS
    reader = FrameReader()
    assert [content for at in range(len(STREAM)) for content in reader.feed(STREAM[at : at + 1])] == CONTENTS
    for at in range(len(STREAM) + 1):
        reader = FrameReader()
        assert [*reader.feed(STREAM[:at]), *reader.feed(STREAM[at:])] == CONTENTS


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(0, 400), max_size=6))
def test_any_contents_come_out_however_they_were_split(contents: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, contents))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut <= len(stream))})
    reader, out = FrameReader(), []
    for start, end in itertools.pairwise(edges):
        out += list(reader.feed(stream[start:end]))
    assert out == contents
    assert not reader._pending


def test_a_length_that_nobody_sends_breaks_the_stream_before_anything_is_gathered() -> None:
    reader = FrameReader()
    assert list(reader.feed(b"\0\0\0\x01a")) == [b"a"]
    with pytest.raises(BrokenFrame):
        list(reader.feed((FRAME_BYTES + 1).to_bytes(4, "big")))


def test_frames_before_a_broken_one_are_still_read() -> None:
    frames = FrameReader().feed(frame(b"ok") + b"\xff\xff\xff\xff")
    assert next(frames) == b"ok"
    with pytest.raises(BrokenFrame):
        next(frames)
