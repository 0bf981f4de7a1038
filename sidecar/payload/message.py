"""A request or an answer as it was on the wire, as far as reading its body needs to know.

Made of an exchange by whoever reads it; holds bytes that others hold, too, and changes none of them.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True):
    """One body and the few headers that say what it is; any of them may lie, or be absent.

    Attributes:
        path: of the request, without its query; an answer has its request's.
        content_type: as the header had it, may be empty.
        content_encoding: likewise.
        json_bytes: `Inference-Header-Content-Length`, how much of the body is JSON before raw tensors begin; else -1.
    """

    body: bytes
    path: str = ""
    content_type: str = ""
    content_encoding: str = ""
    json_bytes: int = -1

    @property
    def media_type(self) -> str:
        """The content type in lower case, without its parameters."""
        return media_type_of(self.content_type)


def media_type_of(content_type: str) -> str:
    """A content type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()
