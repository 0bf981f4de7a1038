"""What must be true of a control that is killed at any time: a hundred lines that know nothing of how it is done.

A call that was answered has happened. One that was not has happened or has not; what is seen first decides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Verb = Literal[
    "promote", "rollback", "override", "canary", "abort", "hold", "release", "approve", "shadow on", "shadow off"
]  # fmt: skip
MOVES = ("promote", "rollback", "override")
OTHER = {"3": "4", "4": "3"}


@dataclass(frozen=True)
class State:
    """One deployment with two versions. `held`: the machine may not promote them, `by_people` because of their word."""

    champion: str = "3"
    generation: int = 1
    shadow: bool = True
    entries: int = 1  # of the audit trail: the first start has one
    canary: str | None = None
    held: frozenset[str] = frozenset({"3"})
    by_people: frozenset[str] = frozenset()

    def after(self, verb: Verb) -> State:
        """What the verb makes of it, as it is called here: always about the version that is not champion."""
        other, entries = OTHER[self.champion], self.entries + 1
        if verb in MOVES:
            left = {self.champion} if verb == "rollback" else set()
            return dataclasses.replace(
                self, champion=other, generation=self.generation + 1, entries=entries, canary=None,
                held=self.held | {other} | left,
            )  # fmt: skip
        if verb == "canary":
            return dataclasses.replace(self, canary=other, entries=entries)
        if verb == "abort":
            return dataclasses.replace(self, canary=None, entries=entries, held=self.held | {other})
        if verb == "hold":
            held, by_people = self.held | {other}, self.by_people | {other}
            same = other in self.by_people
        elif verb == "release":
            held, by_people = self.held - {other}, self.by_people - {other}
            same = other not in self.held
        elif verb == "approve":  # whether it is a second one is told by its answer, or by what is seen
            return dataclasses.replace(self, entries=entries)
        else:
            wanted = verb == "shadow on"
            return self if self.shadow == wanted else dataclasses.replace(self, shadow=wanted, entries=entries)
        # What is so already is no change, and has no entry.
        return self if same else dataclasses.replace(self, held=held, by_people=by_people, entries=entries)

    @property
    def seen(self) -> tuple[str, int, bool, int, str | None]:
        """What anybody can see of it."""
        return self.champion, self.generation, self.shadow, self.entries, self.canary


class Model:
    """The states that are possible, and the outcomes that were taken."""

    def __init__(self) -> None:
        self.state = State()
        self._unknown: Verb | None = None
        self.taken: set[str] = set()  # answered for: a second time they are duplicates
        self.maybe: set[str] = set()

    def did(self, verb: Verb, answered: bool) -> None:
        if answered:
            self.state = self.state.after(verb)
        else:
            self._unknown = verb

    def posted(self, request_ids: list[str], answered: bool) -> None:
        (self.taken if answered else self.maybe).update(request_ids)

    def saw(self, seen: tuple[str, int, bool, int, str | None]) -> None:
        """Fails where that cannot be; from now on it is so."""
        possible = [self.state] if self._unknown is None else [self.state, self.state.after(self._unknown)]
        found = [state for state in possible if state.seen == seen]
        assert found, f"{seen} is none of {possible}"
        self.state, self._unknown = found[0], None

    def saw_outcomes(self, request_ids: list[str], counts: dict[str, Any]) -> None:
        """The same outcomes posted again: all of those that were answered for are known."""
        known = self.taken.intersection(request_ids)
        assert counts["duplicate"] >= len(known), (counts, len(known))
        assert counts["duplicate"] + counts["pending"] == len(request_ids), counts
        self.taken.update(request_ids)
