"""What a connection tells the one who uses it: a leg, or whatever has its manners. Used by Upstream and Pool.

A base class rather than a protocol of types: calls to it are the data plane's most frequent, and compiled they are
then calls through a table instead of look-ups by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.proxy.upstream import Upstream
    from sidecar.wire.answer_head import AnswerHead


class ConnectionUser:
    """Uses a connection to a model server for one request.

    Attributes:
        to_head: the request is a HEAD, so its answer has no body.
        upgrade: the protocols that the request asks to change to, where that may be granted; else empty.
    """

    __slots__ = ("to_head", "upgrade")

    def __init__(self) -> None:
        self.to_head: bool = False
        self.upgrade: bytes = b""

    def connected(self, upstream: Upstream) -> None:
        """A connection is ready; write to it."""

    def answered(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        """One read brought (more of) the answer. Once complete, the connection serves others."""

    def failed(self, kind: str, reused: bool, answer_begun: bool) -> None:
        """No (further) answer will come: connect, reset, malformed. The connection is gone."""

    def sending_paused(self, paused: bool) -> None:
        """The model server takes no more of the request for now, or takes more again."""

    def informed(self, head: AnswerHead) -> None:
        """An interim answer (RFC 9110 15.2) came before the final one."""

    def upgraded(self, head: AnswerHead, rest: bytes) -> None:
        """101: from now on the connection carries another protocol, of which `rest` came already."""

    def tunnelled(self, data: bytes) -> None:
        """Bytes of that other protocol."""
