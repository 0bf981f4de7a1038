"""Rounds: every contender once per round, in turn, so that a noisy minute hurts all of them alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def turned(contenders: Sequence[T], number: int) -> Sequence[T]:
    """One round's order. Each round begins with another contender, so that nobody always follows the same one."""
    first = number % len(contenders)
    return (*contenders[first:], *contenders[:first])


def interleaved(contenders: Sequence[T], rounds: int) -> Iterator[T]:
    """All rounds.

    >>> "".join(interleaved("abc", 3))
    'abcbcacab'
    """
    for number in range(rounds):
        yield from turned(contenders, number)
