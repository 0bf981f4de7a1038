"""The last good answer to every question, in memory and on disk, and how old and how good each is.

Invariant: what is read is what was kept, or nothing; an answer that says the same again is written down once a minute
at most, so after a restart it looks older than it is and never younger; a copy that is damaged, or that the disk
refuses, is told in `says` and hinders nobody. Baselines are on disk only. It asks nobody. Called by the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from registry_client.answer_forms import Form
from registry_client.errors import RegistryError
from registry_client.kept_answers import KeptAnswer, KeptAnswers, Question

Answer = TypeVar("Answer")

_WRITE_AGAIN_S = 60.0
# A clock that was set back makes a confirmation lie in the future: beyond this its age is not known.
_CLOCK_SKEW_S = 60.0
_REMEMBERED = 1_000
_FAULTS_REMEMBERED = 100
# Nobody may ask again for what was damaged: it is told for a while, not for ever.
_FAULT_TOLD_S = 3_600.0


@dataclass(slots=True)
class _Seen:
    """What is known of one question: when it was confirmed, what was written when, and the last answer's fault."""

    answer: Any = None
    confirmed_at: float | None = None
    written: tuple[bytes, float] | None = None
    fault: str | None = None


class LastKnown:
    """`clock`: seconds since the epoch."""

    def __init__(self, answers: KeptAnswers, clock: Callable[[], float]) -> None:
        self._answers = answers
        self._clock = clock
        self._seen: dict[Question, _Seen] = {}
        self._disk_faults: dict[Question, tuple[str, float]] = {}

    @property
    def says(self) -> str | None:
        """What is wrong with the copies on disk, None where nothing is."""
        now = self._clock()
        told = [says for says, at in self._disk_faults.values() if abs(now - at) < _FAULT_TOLD_S]
        if not told:
            return None
        return f"{told[0]}, and {len(told) - 1} more" if len(told) > 1 else told[0]

    def age_s(self, question: Question) -> float | None:
        """Seconds since the registry said so; None where that is not known."""
        seen = self._seen.get(question)
        if seen is None or seen.confirmed_at is None:
            return None
        age_s = self._clock() - seen.confirmed_at
        return max(0.0, age_s) if age_s >= -_CLOCK_SKEW_S else None

    def fault(self, question: Question) -> str | None:
        """What was wrong with the registry's last answer; None where it was good, or where none came."""
        seen = self._seen.get(question)
        return seen.fault if seen is not None else None

    def faulty(self, question: Question, says: str | None) -> None:
        """The registry's last answer was no good, or with None it was."""
        self._known(question).fault = says

    def disk_fault(self, question: Question, fault: RegistryError) -> None:
        """A copy is damaged, or could not be made."""
        self._disk_faults[question] = str(fault), self._clock()
        if len(self._disk_faults) > _FAULTS_REMEMBERED:
            del self._disk_faults[next(iter(self._disk_faults))]

    async def keep(self, question: Question, form: Form[Answer], answer: Answer) -> None:
        """The registry has just said so."""
        await self._write(question, form, answer, self._clock())

    async def amend(self, question: Question, form: Form[Answer], change: Callable[[Answer], Answer]) -> None:
        """The registry took over a change of a kept answer, if there is one; when that was confirmed stays."""
        kept = await self.get(question, form)
        seen = self._known(question)
        if kept is not None and seen.confirmed_at is not None:
            await self._write(question, form, change(kept), seen.confirmed_at)

    async def get(self, question: Question, form: Form[Answer]) -> Answer | None:
        """The last good answer, None where there is none or its copy is damaged."""
        known = self._seen.get(question)
        if known is not None and known.answer is not None:
            answer: Answer = known.answer
            return answer
        try:
            found = await asyncio.to_thread(self._read, question, form)
        except RegistryError as error:
            self.disk_fault(question, error)
            self._known(question).written = None  # so that the next good answer replaces it, even if it says the same
            return None
        if found is None:
            return None
        kept, confirmed_at = found
        seen = self._known(question)
        if seen.confirmed_at is None:
            seen.answer, seen.confirmed_at = _in_memory(question, kept), confirmed_at
        return kept

    async def forget(self, question: Question) -> None:
        """The registry no longer has it."""
        self._seen.pop(question, None)
        try:
            await asyncio.to_thread(self._answers.forget, question)
        except RegistryError as error:
            self.disk_fault(question, error)
        else:
            self._disk_faults.pop(question, None)

    def _known(self, question: Question) -> _Seen:
        seen = self._seen.get(question)
        if seen is None:
            seen = self._seen[question] = _Seen()
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return seen

    async def _write(self, question: Question, form: Form[Answer], answer: Answer, confirmed_at: float) -> None:
        seen = self._known(question)
        seen.answer, seen.confirmed_at = _in_memory(question, answer), confirmed_at
        try:
            seen.written = await asyncio.to_thread(self._put, question, form, answer, confirmed_at, seen.written)
        except RegistryError as error:
            self.disk_fault(question, error)
        else:
            self._disk_faults.pop(question, None)

    # What follows is blocking and runs in threads.

    def _put(
        self,
        question: Question,
        form: Form[Answer],
        answer: Answer,
        confirmed_at: float,
        before: tuple[bytes, float] | None,
    ) -> tuple[bytes, float]:
        data = form.write(answer)
        digest = sha256(data).digest()
        if before is not None and before[0] == digest and 0.0 <= confirmed_at - before[1] < _WRITE_AGAIN_S:
            return before
        self._answers.put(question, KeptAnswer(data, confirmed_at))
        return digest, confirmed_at

    def _read(self, question: Question, form: Form[Answer]) -> tuple[Answer, float] | None:
        kept = self._answers.get(question)
        return None if kept is None else (form.read(kept.answer), kept.confirmed_at)


def _in_memory(question: Question, answer: object) -> object | None:
    """Baselines are as large as all other answers together, and whoever needs one holds it anyway."""
    return None if question.kind == "baseline" else answer
