"""The one error of this package: a body that could not be read, with a reason of a closed set.

It carries no part of the body, so that it may be logged and counted. Raised by every reader, counted by the intake.
"""

from __future__ import annotations

from typing import Literal

# encoding: a compression that is not known, or broken; text that is not UTF-8. json: not JSON. protocol: JSON (or
# something else) that this protocol does not know. shape: values that contradict what is said of them, or each other.
# too_large: more columns, or more unpacked bytes, than are watched. shared_memory: the values never were on the wire.
# path: `row_path` or `score_path` leads nowhere in it.
Reason = Literal["encoding", "json", "shape", "protocol", "too_large", "shared_memory", "path"]


class Undecodable(Exception):
    """A body cannot be read. `reason` is one of `Reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
