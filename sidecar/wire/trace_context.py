"""W3C Trace Context: the caller's `traceparent`, and the one that each leg's request carries.

Keeps the trace id and the flags that are defined; every leg gets a span id of its own. What is not exactly a
`traceparent` is no trace: `parse` says None, and who asked passes the caller's bytes on untouched, for a proxy that
cannot read a header must not replace it. `tracestate` is never read here and goes on like any other header.
Does not decide which requests get a trace, and reads no randomness: it is handed in. Called by `proxy`.
"""

from __future__ import annotations

from collections.abc import Callable

VALUE_BYTES = 55  # 00-<trace id, 32>-<parent id, 16>-<flags, 2>
# Randomness is read for so many span ids at once: one system call a request would be the costliest part of it.
BLOCK_IDS = 256

_DASH = 0x2D
_HEX = b"0123456789abcdef"
_DASHES = b"---"
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16
_SAMPLED = 0x01
# Sampled, and (level 2 of the specification) "the trace id is random". Section 3.2.2.5.3: all others are set to zero.
_DEFINED_FLAGS = 0x03


class TraceContext:
    """A trace that a request belongs to. Ids and flags are lower-case hex digits.

    `parent_id` is the caller's span, and `value` what the caller sent; empty where the trace begins here.
    """

    __slots__ = ("flags", "parent_id", "trace_id", "value")

    def __init__(self, trace_id: bytes, parent_id: bytes, flags: bytes, value: bytes = b"") -> None:
        self.value = value
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.flags = flags

    @property
    def sampled(self) -> bool:
        """Whether the caller, or the sidecar where the trace begins here, wants this trace recorded."""
        return int(self.flags, 16) & _SAMPLED != 0


class SpanIds:
    """Makes ids that are random, and costs no system call a request.

    `random_bytes` gives so many random bytes (os.urandom). A worker makes its own after it was started, so no two
    processes make the same ids.
    """

    __slots__ = ("_block", "_next", "_random_bytes")

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._block = b""
        self._next = 0

    def mint(self) -> bytes:
        """A span id: 16 hex digits, never all zeros, which would mean none."""
        while True:
            at = self._next
            if at == len(self._block):
                self._block = self._random_bytes(8 * BLOCK_IDS).hex().encode()
                at = 0
            self._next = at + 16
            span_id = self._block[at : at + 16]
            if span_id != _NO_SPAN:
                return span_id


def parse(value: bytes) -> TraceContext | None:
    """The trace that the value of a `traceparent` header names; None where it is not one (section 3.2.2).

    A later version may say more behind a dash; what version 00 defines is read from it (section 4.1). Blanks around
    the value are no part of it (RFC 9110 5.5).
    """
    value = given = value.strip(b" \t")
    size = len(value)
    if size != VALUE_BYTES:
        # Version 00 ends here; no version is shorter.
        if size < VALUE_BYTES or value[VALUE_BYTES] != _DASH or value[:2] == b"00":
            return None
        value = value[:VALUE_BYTES]
    if value[2] != _DASH or value[35] != _DASH or value[52] != _DASH or value.translate(None, _HEX) != _DASHES:
        return None
    trace_id, parent_id = value[3:35], value[36:52]
    if trace_id == _NO_TRACE or parent_id == _NO_SPAN or value[:2] == b"ff":
        return None
    flags = value[53:]
    if flags != b"01" and flags != b"00":  # noqa: PLR1714  two comparisons cost less than a tuple
        flags = b"%02x" % (int(flags, 16) & _DEFINED_FLAGS)
    return TraceContext(trace_id, parent_id, flags, given)


def begin(ids: SpanIds) -> TraceContext:
    """A trace that begins here, because the caller named none and this request was chosen: sampled, no parent."""
    return TraceContext(ids.mint() + ids.mint(), b"", b"01")


def child_value(context: TraceContext, span_id: bytes) -> bytes:
    """The value that the leg with this span id sends on."""
    return b"00-%s-%s-%s" % (context.trace_id, span_id, context.flags)
