"""Reads a Dockerfile as far as ours goes: stages of instructions, lines that go on, no variables and no shell forms.

Called by the tests of the container and by `image_steps`, which carries the steps out.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction with the rest of its line."""

    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """What is run, in the form that needs no shell; ValueError for any other."""
        found = json.loads(self.rest.rpartition("CMD ")[2] if self.word == "HEALTHCHECK" else self.rest)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise ValueError(f"{self.word} {self.rest}: not in the form of a JSON list")
        return found

    @property
    def flags(self) -> dict[str, str]:
        """`--from=build` and the like."""
        return dict(re.findall(r"--(\w+)=(\S+)", self.rest))

    @property
    def words(self) -> list[str]:
        """What stands after the flags."""
        return [word for word in shlex.split(self.rest) if not word.startswith("--")]


class Stage(NamedTuple):
    """From one FROM to the next."""

    base: str
    name: str
    steps: tuple[Step, ...]

    def last(self, word: str) -> Step:
        """The instruction that counts, where a later one overrides an earlier; KeyError."""
        return {step.word: step for step in self.steps}[word]


def steps(text: str) -> tuple[Step, ...]:
    """All instructions in order, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(Step(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines))


def stages(text: str) -> tuple[Stage, ...]:
    """From FROM to FROM."""
    found: list[Stage] = []
    for step in steps(text):
        if step.word == "FROM":
            base, *named = step.rest.split()
            found.append(Stage(base, named[-1] if named else "", ()))
        elif found:
            found[-1] = found[-1]._replace(steps=(*found[-1].steps, step))
    return tuple(found)
