"""Asking a registry that may be away: every question has a deadline, and what failed is asked again at a pace.

Invariant: nobody waits longer than the deadline; while the registry is away one question in flight finds out whether
it is back and every other fails at once; a transfer that failed is not begun again at once, unless its digest has
changed. It keeps no answers and knows no files. Called by the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from registry_client.asking_pace import AskingPace
from registry_client.errors import InvalidName, NotFound, RegistryError, Unreachable
from registry_client.kept_answers import Question

Answer = TypeVar("Answer")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 30.0
_TRANSFERS_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class RegistryHealth:
    """Whether the registry answers, None before it was asked; `since` when, in seconds since the epoch.

    `says`: what is wrong, None where nothing is.
    """

    reachable: bool | None
    since: float | None
    says: str | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    pace: AskingPace
    fault: RegistryError


class Asking:
    """`health` is what was learnt. `clock`: seconds since the epoch; `timeout_s` is for one question."""

    def __init__(self, clock: Callable[[], float], timeout_s: float) -> None:
        self.health = RegistryHealth(None, None)
        self._clock = clock
        self._timeout_s = timeout_s
        self._pace = AskingPace(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._probing = False
        self._failures: dict[tuple[Question, str | None], _Failure] = {}

    @property
    def away(self) -> bool:
        """Whether the registry did not answer when it was last asked."""
        return self.health.reachable is False

    def deadline(self) -> float:
        """On the loop's clock, for everything that one call asks."""
        return asyncio.get_running_loop().time() + self._timeout_s

    async def ask(self, question: Callable[[], Awaitable[Answer]], deadline: float) -> Answer:
        """The registry's own answer. Raises what it raises, and Unreachable where it is away or too slow."""
        probe = self.away
        if probe and (self._probing or not self._pace.due(self._clock())):
            raise self._unreachable()
        self._probing = self._probing or probe
        try:
            async with asyncio.timeout_at(deadline):
                answer = await question()
        except TimeoutError as error:
            fault = Unreachable(f"the registry did not answer within {self._timeout_s:g} s")
            self._found_away(str(fault), probe=probe)
            raise fault from error
        except Unreachable as error:
            self._found_away(str(error), probe=probe)
            raise
        except InvalidName:
            raise  # perhaps refused before anything was asked
        except RegistryError:
            self._found_reachable()
            raise
        finally:
            if probe:
                self._probing = False
        self._found_reachable()
        return answer

    async def transfer(
        self, question: Question, digest: str | None, fetch: Callable[[], Awaitable[Answer]], timeout_s: float
    ) -> Answer:
        """A long answer, whose `digest` is named already or None. Says nothing about the registry's health.

        Raises what the registry raises, its last fault while that is not asked again, and Unreachable.
        """
        if self.away:
            raise self._unreachable()
        key = (question, digest)
        failure = self._failures.get(key)
        if failure is not None and not failure.pace.due(self._clock()):
            raise failure.fault.with_traceback(None)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await fetch()
        except TimeoutError as error:
            what = f"the {question.kind} of {question.model}/{question.version}"
            fault = Unreachable(f"{what} did not come within {timeout_s:g} s")
            self._failed(key, fault)
            raise fault from error
        except (NotFound, InvalidName):
            self._failures.pop(key, None)
            raise
        except RegistryError as error:
            self._failed(key, error)
            raise
        self._failures.pop(key, None)
        return answer

    def _unreachable(self) -> Unreachable:
        return Unreachable(self.health.says or "the registry does not answer")

    def _failed(self, key: tuple[Question, str | None], fault: RegistryError) -> None:
        failure = self._failures.pop(key, None)
        pace = AskingPace(_FIRST_PAUSE_S, _LONGEST_PAUSE_S) if failure is None else failure.pace
        pace.failed(self._clock())
        self._failures[key] = _Failure(pace, fault)
        if len(self._failures) > _TRANSFERS_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def _found_away(self, says: str, *, probe: bool) -> None:
        if self.away and not probe:
            return  # asked before it was found away: one outage, however many were waiting
        now = self._clock()
        self._pace.failed(now)
        self.health = RegistryHealth(False, self.health.since if self.away else now, says)

    def _found_reachable(self) -> None:
        self._pace.answered()
        if self.health.reachable is not True:
            self.health = RegistryHealth(True, self._clock())
