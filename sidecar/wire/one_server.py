"""Requests that only one server may get, and the header that says where JSON ends and raw tensors begin.

A sequence lives in one server's memory, and a tensor in shared memory is one region: a second model that got the same
request would disturb the first. The Open Inference Protocol says so in its JSON, so a look for two words is enough;
no body is parsed in a worker. Compressed bodies are not looked into. Called by the heads and by the mirror.
Source: Triton, "Sequence", "System shared memory" and "Binary tensor data" extensions.
"""

from __future__ import annotations

import re

_MOST_DIGITS = 12
# A sequence that is 0, empty or null is none. Never backing up (*+), so that a blank before the 0 changes nothing.
_KEY = re.compile(
    rb'"(?:sequence_id"\s*+:\s*+(?!(?:0|""|null)\s*+[,}])|shared_memory_region"\s*+:\s*+(?!null\s*+[,}]))'
)
_LOOKED_AT = 32_768


def json_bytes(value: bytes) -> int:
    """The value of `Inference-Header-Content-Length`; -1 where it is no length."""
    digits = value.strip(b" \t")
    return int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else -1


def one_server_only(body: bytes, json_size: int) -> bool:
    """Whether an inference request names a sequence or a region of shared memory. `json_size` as from `json_bytes`.

    The words alone may be a tensor's name; only as keys they mean it. Parameters stand before the tensors or behind
    them: of long JSON only both ends are looked at, since a worker has other requests to serve.
    """
    end = len(body) if json_size < 0 else min(json_size, len(body))
    if end <= 2 * _LOOKED_AT:
        return _says_so(body, 0, end)
    return _says_so(body, 0, _LOOKED_AT) or _says_so(body, end - _LOOKED_AT, end)


def _says_so(body: bytes, start: int, end: int) -> bool:
    if body.find(b"sequence_id", start, end) < 0 and body.find(b"shared_memory_region", start, end) < 0:
        return False
    return _KEY.search(body, start, end) is not None
