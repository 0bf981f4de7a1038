"""A challenger that stalls, breaks off, floods or is not there: callers do not notice, and each way has its name.

M1, R-F01, R-F02, R-F03, R-F05. All of them stand behind one sidecar, each before a deployment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bench import process
from tests.chaos import sick_challengers as sick
from tests.chaos.apart import standing_apart
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Visit, visit
from tests.chaos.ground import MIB, Copies, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Backend, Stage

REQUESTS = 150
TIMEOUT_S = 2.4
# Far above what a busy machine adds, far below what waiting for any challenger would.
LIMIT_S = 1.5
# Reasons by which the sidecar spares itself, whatever the challenger does.
SPARED = {"inflight_limit", "breaker_open", "bytes_full", "rate_limit"}
# Callers at once. A challenger on a loaded machine may fall behind many, and copies beyond its window are dropped.
MANY, FEW = 8, 2


class Way(NamedTuple):
    """How copies to a challenger may end, and why they may not be sent at all."""

    outcomes: frozenset[str]
    dropped: frozenset[str]


def way(outcomes: str = "", dropped: str = "") -> Way:
    return Way(frozenset(outcomes.split()), frozenset(dropped.split()))


# By the name of the script that does it.
WAYS = {
    "healthy": way("ok"),
    "never_reads": way("timeout"),
    "never_answers": way("timeout"),
    "drips": way("timeout"),
    "drips_its_head": way("timeout"),
    "resets_at_once": way("reset", "connect_error"),
    "resets_in_the_head": way("reset"),
    "resets_in_the_body": way("reset"),
    "resets_after_the_answer": way("ok reset"),
    "closes_without_an_answer": way("reset"),
    "talks_garbage": way("malformed"),
    "answers_unasked": way("ok reset"),
    "fails": way("status_5xx"),
    "endless_headers": way("malformed too_large"),
    "endless_interim_answers": way("malformed too_large timeout"),
    "one_gibibyte": way("too_large"),
    "gzip_bomb": way("ok too_large"),
    "endless_chunks": way("too_large timeout malformed"),
}
# No process stands behind these addresses.
NOBODY = {"is_down": way(dropped="connect_error"), "never_accepts": way(dropped="connect_error timeout")}
ALL = WAYS | NOBODY


class Trial:
    """What came of all ways."""

    def __init__(self, ground: Ground, champion: Backend) -> None:
        self.ground = ground
        self.champion = champion
        self.visits: dict[str, Visit] = {}
        self.copies: dict[str, Copies] = {}
        self.before_bytes = ground.resident_bytes()
        self.most_bytes = 0


@pytest.fixture(scope="module")
def trial(stage: Stage, make: MakeGround) -> Iterator[Trial]:
    champion = stage.backend(sick.healthy("3"))
    with standing_apart(WAYS) as urls:
        urls |= {"is_down": stage.refusing(), "never_accepts": stage.unaccepting()}
        challengers = {name: {"url": url, "timeout_s": TIMEOUT_S, "max_inflight": 20} for name, url in urls.items()}
        trial = Trial(make([deployment(name, champion.url, given) for name, given in challengers.items()]), champion)
        for name in ALL:
            ids = [f"{name}-{number}" for number in range(REQUESTS)]
            callers = FEW if name == "healthy" else MANY
            trial.visits[name] = run(visit(trial.ground.data, path_of(name), ids, callers=callers))
            trial.most_bytes = max(trial.most_bytes, trial.ground.resident_bytes())
        for name in ALL:
            trial.copies[name] = trial.ground.settled(name, REQUESTS)
        trial.ground.quiet()
        yield trial


@pytest.mark.parametrize("name", ALL)
def test_callers_do_not_notice_and_every_copy_is_accounted_for(trial: Trial, name: str) -> None:
    seen, copies = trial.visits[name], trial.copies[name]

    assert (seen.failed, dict(seen.statuses)) == ({}, {200: REQUESTS})
    assert seen.bodies == {sick.answer_bytes("3").partition(b"\r\n\r\n")[2]}
    assert seen.p99_s < LIMIT_S
    assert copies.due == REQUESTS, copies
    assert set(copies.outcomes) <= ALL[name].outcomes, copies
    assert set(copies.dropped) <= ALL[name].dropped | SPARED, copies
    # It was tried, and failed in the way that it is sick.
    assert sum(copies.outcomes.values()) or copies.dropped.total() > 0


@pytest.mark.parametrize("name", ["never_answers", "resets_in_the_head", "talks_garbage", "one_gibibyte", "fails"])
def test_kinds_of_failure_are_told_apart(trial: Trial, name: str) -> None:
    (kind,) = trial.copies[name].outcomes

    assert {kind} == WAYS[name].outcomes


def test_the_healthy_one_gets_every_copy_although_all_others_are_sick(trial: Trial) -> None:
    copies = trial.copies["healthy"]

    # A start may be gentle, and hold back a few.
    assert copies.outcomes["ok"] >= REQUESTS * 0.9, copies


def test_the_champion_saw_each_request_once(trial: Trial) -> None:
    ids = trial.champion.ids

    assert len(ids) == len(set(ids)) == REQUESTS * len(ALL)
    assert not any(request.is_copy for request in trial.champion.requests)


def test_a_gibibyte_answer_and_a_bomb_cost_a_bounded_amount(trial: Trial) -> None:
    """limits.mirror_bytes and capture_bytes are 16 MiB each; copies in flight have their heads and sockets besides."""
    assert trial.most_bytes - trial.before_bytes < 64 * MIB
    # Control got the bomb as it came, and must not have unpacked it.
    assert process.resident_bytes(trial.ground.sidecar.control) < 400 * MIB


def test_it_serves_on_as_before(trial: Trial) -> None:
    ids = [f"again-{number}" for number in range(50)]
    again = run(visit(trial.ground.data, path_of("healthy"), ids, callers=FEW))

    assert dict(again.statuses) == {200: 50}
    assert trial.ground.settled("healthy", REQUESTS + 50).outcomes["ok"] >= trial.copies["healthy"].outcomes["ok"] + 50
    assert trial.ground.sidecar.logged("child died") == []
