"""How much is measured: a quick form for CI or the full one; and where progress is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Plan(msgspec.Struct, frozen=True):
    """`quick`: at most 5 minutes on two cores for everything; else at most 40."""

    quick: bool
    tell: Callable[[str], None]
    rounds: int = 3

    def pick(self, quick: T, full: T) -> T:
        """One of two sizes."""
        return quick if self.quick else full
