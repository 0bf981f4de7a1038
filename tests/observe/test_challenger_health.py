from __future__ import annotations

import pytest

from sidecar.observe.challenger_health import ChallengerHealth
from sidecar.reports import Copies


def copies(answered: int = 0, errors: dict[str, int] | None = None, dropped: dict[str, int] | None = None) -> Copies:
    return Copies(mirrored=answered, answered=answered, errors=errors or {}, dropped=dropped or {})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], "unknown"),
        ([copies()], "unknown"),
        ([copies(10)], "healthy"),
        ([copies(10, {"status_5xx": 4})], "healthy"),
        ([copies(10, {"status_5xx": 9})], "failing"),
        ([copies(0, {"timeout": 5})], "failing"),
        ([copies(0, {"reset": 5}, {"connect_error": 1})], "failing"),
        ([copies(0, None, {"connect_error": 5})], "unreachable"),
        ([copies(0, {"connect": 5})], "unreachable"),
        ([copies(0, None, {"disabled": 100, "bytes_full": 100})], "unknown"),
        ([copies(0, {"timeout": 100}), *[copies(20)] * 20], "healthy"),
    ],
)
def test_the_last_copies_say_how_a_challenger_is(seen: list[Copies], expected: str) -> None:
    health = ChallengerHealth()
    for delta in seen:
        health.fold(delta)
    assert health.health == expected


def test_it_is_paused_while_any_workers_breaker_is_open_and_no_longer() -> None:
    health = ChallengerHealth()
    health.fold(copies(10))
    told = []
    for worker, state in (("w0", "open"), ("w1", "closed"), ("w0", "probing"), ("w0", "closed")):
        health.breaker(worker, state)
        told.append(health.health)
    assert told == ["paused", "paused", "paused", "healthy"]


def test_a_worker_that_is_gone_holds_no_breaker_open() -> None:
    health = ChallengerHealth()
    health.breaker("w0", "open")
    health.left("w0")
    health.left("w7")
    assert health.health == "unknown"


def test_breakers_of_dead_workers_are_bounded() -> None:
    health = ChallengerHealth()
    for number in range(1000):
        health.breaker(f"w{number}", "open")
    assert len(health._breakers) == 256
