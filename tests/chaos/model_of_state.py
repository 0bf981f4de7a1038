"""What must be true of a control that is killed at any time: sixty lines that know nothing of how it is done.

A call that was answered has happened. One that was not has happened or has not; what is seen first decides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Verb = Literal["promote", "rollback", "shadow on", "shadow off"]
OTHER = {"3": "4", "4": "3"}


@dataclass(frozen=True)
class State:
    """One deployment with two versions."""

    champion: str = "3"
    generation: int = 1
    shadow: bool = True
    entries: int = 1  # of the audit trail: the first start has one

    def after(self, verb: Verb) -> State:
        if verb in ("promote", "rollback"):
            return dataclasses.replace(
                self, champion=OTHER[self.champion], generation=self.generation + 1, entries=self.entries + 1
            )
        wanted = verb == "shadow on"
        # What is so already is no change, and has no entry.
        return self if self.shadow == wanted else dataclasses.replace(self, shadow=wanted, entries=self.entries + 1)


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

    def saw(self, seen: State) -> None:
        """Fails where that cannot be; from now on it is so."""
        possible = {self.state} if self._unknown is None else {self.state, self.state.after(self._unknown)}
        assert seen in possible, f"{seen} is none of {possible}"
        self.state, self._unknown = seen, None

    def saw_outcomes(self, request_ids: list[str], counts: dict[str, Any]) -> None:
        """The same outcomes posted again: all of those that were answered for are known."""
        known = self.taken.intersection(request_ids)
        assert counts["duplicate"] >= len(known), (counts, len(known))
        assert counts["duplicate"] + counts["pending"] == len(request_ids), counts
        self.taken.update(request_ids)
