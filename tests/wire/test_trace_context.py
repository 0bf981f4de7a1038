"""traceparent, strictly: what is one, what the legs send on, and ids that are random and cheap."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.trace_context import BLOCK_IDS, SpanIds, TraceContext, begin, child_value, parse

TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"
GOOD = b"00-%s-%s-01" % (TRACE, SPAN)


def fields(context: TraceContext | None) -> tuple[bytes, bytes, bytes]:
    assert context is not None
    return context.trace_id, context.parent_id, context.flags


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (GOOD, b"01"),
        (GOOD[:-2] + b"00", b"00"),
        (GOOD[:-2] + b"03", b"03"),
        (b" \t" + GOOD + b" \t ", b"01"),  # blanks around a value are no part of it
        (b"01" + GOOD[2:], b"01"),  # a later version, no longer than this one
        (b"cc" + GOOD[2:] + b"-what-the-future-will-be-like", b"01"),
        (b"fe" + GOOD[2:] + b"-", b"01"),
    ],
)
def test_a_traceparent_is_read(value: bytes, flags: bytes) -> None:
    assert fields(parse(value)) == (TRACE, SPAN, flags)


@pytest.mark.parametrize(
    ("given_flags", "sent"), [(b"ff", b"03"), (b"fe", b"02"), (b"04", b"00"), (b"09", b"01"), (b"02", b"02")]
)
def test_flags_that_nobody_defined_are_sent_as_zero(given_flags: bytes, sent: bytes) -> None:
    assert fields(parse(GOOD[:-2] + given_flags))[2] == sent


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-",
        b"---",
        b" " * 55,
        b"-" * 55,
        b"0" * 55,
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-",  # version 00 ends here
        GOOD + b"-00",
        b"cc" + GOOD[2:] + b".later",  # a later version goes on with a dash or not at all
        b"cc" + GOOD[2:-1],
        b"ff" + GOOD[2:],
        b"FF" + GOOD[2:],
        b"0-" + GOOD[2:],
        b"zz" + GOOD[2:],
        GOOD.upper(),
        GOOD.replace(b"a", b"A", 1),
        b"00-%s-%s-01" % (b"0" * 32, SPAN),
        b"00-%s-%s-01" % (TRACE, b"0" * 16),
        b"00-%s-%s-0x" % (TRACE, SPAN),
        b"00-%s-%s- 1" % (TRACE, SPAN),
        b"00-%s-%s-+1" % (TRACE, SPAN),
        b"00-%s-%s-1_" % (TRACE, SPAN),
        b"00-%s-%s-01" % (TRACE[:-1] + b"-", SPAN),
        b"00-%s-%s-01" % (TRACE[:-1] + b"\x00", SPAN),
        b"00-%s-%s-01" % (TRACE[:-1] + b"\xff", SPAN),
        b"00-%s-%s-01" % (TRACE[:-1] + b"\n", SPAN),
        b"00-%s-%s-01" % (SPAN, TRACE),  # the parts in the wrong order
        b"00_%s_%s_01" % (TRACE, SPAN),
        b"00-%s-%s-01, 00-%s-%s-01" % (TRACE, SPAN, TRACE, SPAN),
    ],
)
def test_what_is_not_exactly_one_is_none(value: bytes) -> None:
    assert parse(value) is None


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=1))
def test_any_one_byte_changed_keeps_the_rest_or_is_refused(at: int, byte: bytes) -> None:
    changed = GOOD[:at] + byte + GOOD[at + 1 :]
    context = parse(changed)

    if context is not None:
        assert byte.strip(b"0123456789abcdef") == b"" or byte == b"-"
        assert context.trace_id == changed[3:35]
        assert context.parent_id == changed[36:52]


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused_and_never_raises(value: bytes) -> None:
    context = parse(value)

    assert context is None or parse(child_value(context, SPAN)) is not None


def test_each_leg_sends_its_own_span_in_the_same_trace() -> None:
    context, ids = parse(GOOD), SpanIds(os.urandom)
    assert context is not None
    champion, shadow = ids.mint(), ids.mint()

    sent = [parse(child_value(context, span_id)) for span_id in (champion, shadow)]

    assert [fields(each) for each in sent] == [(TRACE, champion, b"01"), (TRACE, shadow, b"01")]
    assert len({champion, shadow, SPAN}) == 3


def test_a_later_version_is_sent_on_as_the_one_that_is_understood() -> None:
    context = parse(b"cc" + GOOD[2:] + b"-more")
    assert context is not None

    assert child_value(context, SPAN) == GOOD


@pytest.mark.parametrize(("flags", "sampled"), [(b"00", False), (b"01", True), (b"02", False), (b"03", True)])
def test_the_flag_says_whether_a_trace_is_recorded(flags: bytes, sampled: bool) -> None:
    context = parse(GOOD[:-2] + flags)
    assert context is not None

    assert context.sampled is sampled


def test_a_trace_that_begins_here_is_sampled_and_has_no_parent() -> None:
    context = begin(SpanIds(os.urandom))

    assert context.parent_id == b""
    assert context.sampled
    assert parse(child_value(context, SPAN)) is not None


def test_ids_are_unlike_each_other_over_many_blocks() -> None:
    ids = SpanIds(os.urandom)
    made = [ids.mint() for _ in range(BLOCK_IDS * 8)]

    assert len(set(made)) == len(made)
    assert {len(each) for each in made} == {16}
    assert {each.strip(b"0123456789abcdef") for each in made} == {b""}


def test_randomness_is_read_once_for_many_ids() -> None:
    sizes: list[int] = []

    def random_bytes(count: int) -> bytes:
        sizes.append(count)
        return os.urandom(count)

    ids = SpanIds(random_bytes)
    for _ in range(BLOCK_IDS + 1):
        ids.mint()

    assert sizes == [8 * BLOCK_IDS] * 2


def test_an_id_of_zeros_is_never_made() -> None:
    blocks = [bytes(8 * BLOCK_IDS), bytes(8) + b"\x01" * (8 * BLOCK_IDS - 8)]
    ids = SpanIds(lambda _count: blocks.pop(0))

    assert ids.mint() == b"01" * 8
