from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from sidecar.config import Settings
from sidecar.control import ingest
from sidecar.control.ingest import Ingest
from sidecar.control.watch import VOID, DeploymentWatch
from sidecar.records import Exchange, LoggedHalf
from tests.control.live_samples import NOW, baseline, deployment, request_body, state

ANSWER = json.dumps({"outputs": [{"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, 0.75]}]}).encode()


def half(side: Literal["request", "response"], **changes: Any) -> LoggedHalf:
    fields: dict[str, Any] = {
        "id": "a-1",
        "services": ("fraud",),
        "endpoint": "",
        "origin": "",
        "at": NOW,
        "content_type": "application/json",
        "content_encoding": "",
        "body": request_body([1.0, 2.0]) if side == "request" else ANSWER,
    }
    return LoggedHalf(side=side, **fields | changes)


class Ground:
    """A watch behind the ingest, and what was folded."""

    def __init__(self, **settings: Any) -> None:
        self.now = NOW
        self.watch = DeploymentWatch(deployment(**settings), state(), baseline(), NOW)
        self.folded: list[Exchange] = []
        self.rows: list[Any] = []
        self.failures = 0
        self.ingest = Ingest({"fraud": self.watch}, self._fold, self._attempt, clock=lambda: self.now)

    def _fold(self, exchange: Exchange) -> None:
        self.folded.append(exchange)
        self.rows += self.watch.fold(exchange)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ValueError:
            self.failures += 1

    def both(self, **changes: Any) -> str:
        self.ingest.take(half("request", **changes))
        return self.ingest.take(half("response", **changes))


async def test_a_joined_pair_is_watched_as_a_workers_exchange_is() -> None:
    ground = Ground()

    assert ground.ingest.take(half("request")) == "waiting"
    assert ground.ingest.take(half("response")) == "joined"

    report = ground.watch.drift()
    assert (report.rows_sampled, report.undecodable) == (2, 0)
    assert [row.predictions["3"].score for row in ground.rows] == [0.25, 0.75]
    assert {row.request_id for row in ground.rows} == {"a-1"}
    assert ground.watch.quality.report("3").predicted == 2


async def test_a_deployment_takes_the_service_that_its_settings_name() -> None:
    ground = Ground(ingest={"service": "fraud-prod"})

    assert ground.both() == "unknown_service"
    assert ground.both(services=("fraud-prod",)) == "joined"
    assert ground.both(id="b", services=("graph", "fraud-prod")) == "joined"
    assert ground.ingest.counts()[""]["unknown_service"] == 2


async def test_another_versions_answers_count_for_its_quality_and_are_no_evidence() -> None:
    ground = Ground(ingest={"endpoints": {"canary": "4"}})

    assert ground.both(endpoint="canary") == "joined"

    (exchange,) = ground.folded
    assert (exchange.champion.version, exchange.generation) == ("4", VOID)
    assert ground.watch.quality.report("4").predicted == 2
    assert ground.watch.quality.report("3").predicted == 0
    assert ground.watch.drift().rows_sampled == 0


async def test_an_endpoint_may_be_the_champions() -> None:
    ground = Ground(ingest={"endpoints": {"main": "3"}})

    assert ground.both(endpoint="main") == "joined"
    assert (ground.folded[0].champion.version, ground.folded[0].generation) == ("3", 1)


async def test_an_endpoint_that_nobody_names_is_passed_over() -> None:
    ground = Ground()

    assert ground.both(endpoint="canary") == "unknown_endpoint"
    assert ground.both(endpoint="default") == "joined"
    assert ground.ingest.counts()["fraud"]["unknown_endpoint"] == 2


async def test_a_repeated_event_is_a_duplicate() -> None:
    ground = Ground()
    ground.both()

    assert ground.ingest.take(half("response")) == "duplicate"
    assert len(ground.folded) == 1


async def test_a_compressed_body_of_which_nobody_said_so_is_known_by_its_first_bytes() -> None:
    ground = Ground()
    ground.ingest.take(half("request", body=gzip.compress(request_body([1.0]))))
    ground.ingest.take(half("response"))

    assert ground.folded[0].content_encoding == "gzip"


async def test_an_answer_in_json_is_one_although_it_bears_the_requests_content_type() -> None:
    ground = Ground()
    ground.ingest.take(half("request", content_type="text/csv", body=b"amount\n1\n"))
    ground.ingest.take(half("response", content_type="text/csv"))

    assert ground.folded[0].content_type == "text/csv"
    assert ground.folded[0].champion.answer is not None
    assert ground.folded[0].champion.answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("asked", "said", "at", "latency_s"),
    [
        (NOW - 1, NOW - 0.5, NOW - 1, 0.5),
        (None, None, NOW, 0.0),
        (NOW + 900, NOW + 901, NOW, 1.0),
        (NOW - 86_400, NOW - 86_399, NOW - 120, 1.0),
        (NOW, NOW - 1, NOW, 0.0),
    ],
)
async def test_an_exchange_is_of_now_whatever_another_machines_clock_says(
    asked: float | None, said: float | None, at: float, latency_s: float
) -> None:
    ground = Ground()
    ground.ingest.take(half("request", at=asked))
    ground.ingest.take(half("response", at=said))

    assert (ground.folded[0].at, ground.folded[0].champion.latency_s) == (at, latency_s)


async def test_an_observation_that_fails_is_the_intakes_to_count() -> None:
    ground = Ground()

    def fail(_: Exchange) -> None:
        raise ValueError

    ground.ingest = Ingest({"fraud": ground.watch}, fail, ground._attempt, clock=lambda: NOW)

    assert ground.both() == "joined"
    assert ground.failures == 1


async def test_every_event_is_counted_once() -> None:
    ground = Ground()
    ground.both()
    ground.ingest.take(half("request"))
    ground.ingest.take(half("request", id="b"))
    ground.ingest.pass_over("busy")
    ground.now += 121

    counts = ground.ingest.counts()

    assert counts["fraud"] == {
        "joined": 2, "duplicate": 1, "request_alone": 1, "response_alone": 0, "evicted": 0, "unknown_endpoint": 0
    }  # fmt: skip
    assert Counter(counts[""]) == Counter(busy=1)


async def test_what_waits_is_given_up_in_time_also_when_no_more_events_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "AGE_S", 0.008)
    ground = Ground()
    ground.ingest.take(half("request"))
    ground.now += 121

    async with asyncio.timeout(30):
        while ground.ingest._halves.waiting:
            await asyncio.sleep(0)

    assert ground.ingest._timer is None


def binary(document: str, behind: bytes) -> bytes:
    return document.encode() + behind


DOCUMENT = '{"outputs":[{"name":"é","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'


@pytest.mark.parametrize(
    ("body", "told", "found"),
    [
        (binary(DOCUMENT, b"\0\0\xff}"), -1, len(DOCUMENT.encode())),
        (binary(DOCUMENT, b""), 7, 7),
        (b'{"outputs":[]}', -1, -1),
        (b'{"binary_data_size"', -1, -1),
        (b"[" * 60_000 + b'"binary_data_size"', -1, -1),
        (b" " * 70_000 + DOCUMENT.encode(), -1, -1),
    ],
    ids=["found", "told", "no tensors", "cut", "nested deeply", "too far away"],
)
async def test_the_end_of_the_json_before_binary_tensors_is_found(body: bytes, told: int, found: int) -> None:
    ground = Ground()
    ground.ingest.take(half("request", body=body, json_bytes=told))
    ground.ingest.take(half("response", body=body, json_bytes=told))

    answer = ground.folded[0].champion.answer
    assert answer is not None
    assert (ground.folded[0].json_bytes, answer.json_bytes) == (found, found)


def test_two_deployments_cannot_take_the_events_of_one_service() -> None:
    one = {"champion": {"version": "3", "url": "http://127.0.0.1:8000"}}
    two = [{"name": "fraud"} | one, {"name": "other", "ingest": {"service": "fraud"}} | one]

    with pytest.raises(ValidationError, match=r"two take the same service's events \(ingest.service\)"):
        Settings.model_validate({"deployments": two})
