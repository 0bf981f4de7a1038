"""Where messages begin and end in a stream, so that a parser gets one head, or one body, at a time and no more.

llhttp passes over any blanks and line ends before a message and between a request line's words, and takes RTSP and
ICE for HTTP; one that stands before or behind us may not, and then the two count different messages. Seen from here
such bytes are refused before the parser gets them. Invariant: what `part` returned, in order, is what came, without
a byte more or less, and no part reaches over the end of a head or of a body. Trusts the parser, which reads the same
bytes, with everything else. Used by `proxy`'s readers, one for each connection.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.wire import refusal
from sidecar.wire.request_head import Refused

# RFC 9112 3: three words, one blank between them. Which methods and targets there are is decided elsewhere.
_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n")
_OTHER_VERSION = re.compile(rb"[A-Z]+ [\x21-\x7e]+(?: [A-Za-z]+/[0-9.]*)?\r\n")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
# What each part of a body may cost in sizes, extensions and line ends before it counts as framing for its own sake.
_FREE_FRAMING_BYTES: Final = 16
_SIZE_BYTES: Final = 24  # of a line in the middle of chunks: beyond a size, nothing on it matters here
_END: Final = b"\r\n\r\n"

_START: Final = 0  # a message may begin, or one empty line come before it
_START_CR: Final = 1
_START_BLANK: Final = 2  # no other empty line may come
_LINE: Final = 3
_FIELDS: Final = 4
_HEAD_ENDED: Final = 5  # until `body_follows` tells how it goes on
_COUNTED: Final = 6
_SIZE: Final = 7
_DATA: Final = 8
_TRAILER: Final = 9


def undecided_after(undecided: int, part_bytes: int) -> int:
    """How many bytes are still owed a body, when `part_bytes` of one came out of them.

    Framing out of all proportion to what it frames is an attack on our time: it adds up until a limit is met.
    """
    return max(0, undecided - 2 * part_bytes - _FREE_FRAMING_BYTES)


class HeadEnd:
    """Finds a head's end, the first empty line, wherever the stream was split."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: bytes = b""  # up to three bytes from before

    def begin(self, last: bytes = b"") -> None:
        """Another head; `last` are bytes of it that need not be given again."""
        self._last = last[-3:]

    def find(self, data: bytes, at: int) -> int:
        """The index behind the empty line, or -1 where the head goes on."""
        last = self._last
        if last:
            found = (last + data[at : at + 3]).find(_END)
            if found >= 0:
                return at + found + 4 - len(last)
        found = data.find(_END, at)
        if found >= 0:
            return found + 4
        self._last = (last + data[max(at, len(data) - 3) :])[-3:]
        return -1


class RequestBorders:
    """The borders in one caller's stream."""

    __slots__ = ("_gathered", "_head_end", "_left", "_state")

    def __init__(self) -> None:
        self._state: int = _START
        self._head_end = HeadEnd()
        self._gathered: bytes = b""  # of a line that is looked at
        self._left: int = 0

    def part(self, data: bytes, at: int) -> int:
        """The end of the part of `data` that begins at `at`: of an empty line, a head or a body, or of what came of it.

        Raises Refused where no request can begin so.
        """
        if self._state <= _START_BLANK:
            begins = self._start(data, at)
            if begins > at or self._state <= _START_BLANK:
                return begins
        if self._state == _LINE:
            return self._line(data, at)
        if self._state == _FIELDS:
            return self._fields(data, at)
        if self._state == _COUNTED:
            end = min(at + self._left, len(data))
            self._left -= end - at
            if not self._left:
                self._state = _START
            return end
        if self._state >= _SIZE:
            return self._chunks(data, at)
        return len(data)

    @property
    def fresh(self) -> bool:
        """True where the last message has ended, and not a byte came behind it."""
        return self._state == _START

    def body_follows(self, length: int | None, chunked: bool) -> None:
        """The head was understood: so its body ends."""
        if chunked:
            self._state = _SIZE
            self._gathered = b""
        elif length:
            self._state = _COUNTED
            self._left = length
        else:
            self._state = _START

    def _start(self, data: bytes, at: int) -> int:
        """Passes over one empty line (RFC 9112 2.2), and no other."""
        size = len(data)
        while at < size:
            byte = data[at]
            if byte == 13 and self._state == _START:
                self._state = _START_CR
            elif byte == 10 and self._state == _START_CR:
                self._state = _START_BLANK
            elif byte in (10, 13) or self._state == _START_CR:
                raise Refused(refusal.MALFORMED)
            else:
                self._state = _LINE
                self._gathered = b""
                return at
            at += 1
        return at

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        if not end:
            self._gathered += data[at:]
            return len(data)
        line = self._gathered + data[at:end]
        if _REQUEST_LINE.fullmatch(line) is None:
            raise Refused(refusal.BAD_VERSION if _OTHER_VERSION.fullmatch(line) else refusal.MALFORMED)
        self._state = _FIELDS
        self._gathered = b""
        self._head_end.begin(b"\r\n")
        return self._fields(data, end)

    def _fields(self, data: bytes, at: int) -> int:
        end = self._head_end.find(data, at)
        if end < 0:
            return len(data)
        self._state = _HEAD_ENDED
        return end

    def _chunks(self, data: bytes, at: int) -> int:
        """Follows the sizes; the parser refuses what makes no sense of them."""
        size = len(data)
        while at < size:
            if self._state == _DATA:
                taken = min(self._left, size - at)
                at += taken
                self._left -= taken
                if not self._left:
                    self._state = _SIZE
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                self._gathered = (self._gathered + data[at : at + _SIZE_BYTES])[:_SIZE_BYTES]
                return size
            line = (self._gathered + data[at : min(end, at + _SIZE_BYTES)])[:_SIZE_BYTES]
            self._gathered = b""
            at = end
            if self._state == _TRAILER:
                if line == b"\r\n":
                    self._state = _START
                    return at
                continue
            match = _CHUNK_SIZE.match(line)
            self._left = int(match[0], 16) if match is not None else 0
            self._state = _DATA if self._left else _TRAILER
            self._left += 2  # the line end behind the data
        return at


class AnswerBorders:
    """The borders of one answer's heads, interim ones first, in a model server's stream."""

    __slots__ = ("_begun", "_head_end")

    def __init__(self) -> None:
        self._begun = False
        self._head_end = HeadEnd()

    def part(self, data: bytes, at: int) -> int:
        """The end of the part of `data` that begins at `at`: of a head, or of what came of it; -1 where none begins."""
        if not self._begun:
            if data[at] != 72:  # the H of HTTP; the parser sees to the rest
                return -1
            self._begun = True
            self._head_end.begin()
        end = self._head_end.find(data, at)
        if end < 0:
            return len(data)
        self._begun = False
        return end
