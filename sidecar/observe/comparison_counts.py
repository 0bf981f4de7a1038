"""The plain integers of a comparison: rows, requests, copies, failures.

Keeps: sums only, so that those of two replicas add up. Does not: know what is compared. Called by: `comparison`.
"""

from __future__ import annotations

import msgspec


class ComparisonCounts(msgspec.Struct):
    """Rows, requests and copies; `errors` to `challenger_kinds` by kind."""

    pairs: int = 0
    paired_requests: int = 0
    judged_requests: int = 0
    champion_failures: int = 0
    challenger_failures: int = 0
    unpaired: int = 0
    mirrored: int = 0
    answered: int = 0
    errors: dict[str, int] = {}
    dropped: dict[str, int] = {}
    structure: dict[str, int] = {}
    champion_kinds: dict[str, int] = {}
    challenger_kinds: dict[str, int] = {}
    champion_only: int = 0
    challenger_only: int = 0
    slower: int = 0

    def add(self, other: ComparisonCounts) -> None:
        """Adds another one, which stays as it is."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(self, name, mine + theirs)
            else:
                added_to(mine, theirs)

    def fail(self, champion: str | None, challenger: str | None) -> None:
        """One request that one of the two failed, or both: each with its kind."""
        if champion is not None:
            self.champion_failures += 1
            self.champion_only += challenger is None
            added_to(self.champion_kinds, {champion: 1})
        if challenger is not None:
            self.challenger_failures += 1
            self.challenger_only += champion is None
            added_to(self.challenger_kinds, {challenger: 1})


def added_to(counts: dict[str, int], added: dict[str, int]) -> None:
    """Adds counts by name to others."""
    for name, count in added.items():
        counts[name] = counts.get(name, 0) + count
