"""What was emitted, made comparable with what a transcript says: how a body was cut into chunks is no difference."""

from __future__ import annotations

import re

_ID = re.compile(rb"(?i:(?<=\r\n)x-request-id): ([^\r]*)")
_MINTED = re.compile(rb"[0-9a-f]{16}-[0-9a-f]{8}")
_OURS = re.compile(
    rb"(?:x-request-id: .*|transfer-encoding: chunked|connection: [a-z-]+|sidecar-[a-z]+: .*|upgrade: .*|"
    rb"host: [a-z]+:80)\Z"
)


def tidy(stream: bytes) -> bytes:
    """A stream of messages with the sidecar's own header lines at each head's end, and chunks in a row as one.

    How a body is cut into chunks depends on how it came; where our own lines stand among others is nobody's business,
    and the request's id is among them, given or minted.
    """
    done: list[bytes] = []
    rest = _ID.sub(lambda match: b"x-request-id: " + (b"ID" if _MINTED.fullmatch(match[1]) else match[1]), stream)
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        ours = sorted(line for line in lines if _OURS.match(line))
        done += [b"\r\n".join([start, *(line for line in lines if not _OURS.match(line)), *ours]), end]
        if b"transfer-encoding: chunked" in ours:
            body, ended, rest = _chunks(rest)
            done += [b"%x\r\n%s\r\n" % (len(body), body) if body else b"", b"0\r\n\r\n" if ended else b""]
        else:
            length = int(next((line[16:] for line in lines if line.lower().startswith(b"content-length:")), b"0"))
            if not rest.startswith(b"HTTP/1.1 "):  # else an answer to HEAD, or a 304
                done.append(rest[:length])
                rest = rest[length:]
            if rest and not re.match(rb"[A-Z]+[ /]", rest):
                return b"".join(done) + rest  # a tunnel: whatever it is
    return b"".join(done)


def _chunks(rest: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(match[1], 16)
        if not size:
            assert rest.startswith(b"0\r\n\r\n")
            return body, True, rest[5:]
        part, rest = rest[match.end() : match.end() + size], rest[match.end() + size :]
        assert rest.startswith(b"\r\n")
        body, rest = body + part, rest[2:]
    return body, False, rest


def is_whole(stream: bytes, *, answer: bool = False) -> bool:
    """Whether one message is complete, as the most trusting reader would see it."""
    head, end, body = stream.partition(b"\r\n\r\n")
    if not end:
        return False
    if b"\r\ntransfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    match = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(match[1]) if match else not answer
