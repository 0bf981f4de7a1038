"""Faults of the sidecar's own: capture that raises, observers that raise, payloads that nobody can read.

M3, R-F22, R-F23. Serving goes on, and each fault is counted.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bench import process
from registry_client.baseline import to_json
from registry_client.from_columns import build_baseline
from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Visit, visit
from tests.chaos.ground import Ground, deployment, path_of, run
from tests.chaos.sabotage import GATHERING_RAISES, OBSERVERS_RAISE, OFFERING_RAISES, sabotaged
from tests.chaos.scripted_backend import Connection, Stage
from tests.process.whole_sidecar import ROW, ask_once, until


def before_and_behind(stage: Stage) -> dict[str, object]:
    champion, challenger = stage.backend(sick.healthy("3"), record=False), stage.backend(sick.healthy("4"))
    return deployment("fraud", champion.url, {"url": challenger.url})


def asked(ground: Ground, number: int) -> Visit:
    return run(visit(ground.data, path_of("fraud"), [f"asked-{n}" for n in range(number)], callers=4))


@pytest.mark.parametrize("act", [OFFERING_RAISES, GATHERING_RAISES], ids=["offering", "gathering"])
def test_capture_that_raises_changes_no_answer_and_stops_no_connection(
    stage: Stage, make: MakeGround, tmp_path: Path, act: str
) -> None:
    """M3: in every exchange, in the worker itself. Without a challenger the caller's own answer ends it."""
    champion = stage.backend(sick.healthy("3"), record=False)
    ground = make([deployment("fraud", champion.url)], sabotaged(tmp_path, "sidecar.app.worker", act))
    seen = asked(ground, 12)

    assert (seen.failed, dict(seen.statuses)) == ({}, {200: 12})
    assert not any(answer.headers.get("connection") == "close" for answer in seen.answers)
    assert seen.p99_s < 5.0
    ground.empty()
    assert ground.sidecar.logged("child died") == []
    # Nothing of it came to control: the sabotage worked.
    assert ask_once(ground.sidecar.admin, "/v1/decisions/asked-0", None).status == 404


def test_observers_that_raise_change_nothing_for_callers_and_are_counted(
    stage: Stage, make: MakeGround, tmp_path: Path
) -> None:
    """R-F23: on every exchange, in control."""
    ground = make([before_and_behind(stage)], sabotaged(tmp_path, "sidecar.app.control", OBSERVERS_RAISE))
    seen = asked(ground, 200)

    assert (seen.failed, dict(seen.statuses)) == ({}, {200: 200})
    until("that each failure is counted", lambda: ground.metric("sidecar_observation_failures_total") >= 200)
    assert ground.sidecar.logged("observation failed")
    assert "sabotage" not in ground.sidecar.said  # an exception's text may quote a payload
    # Control lives, answers and governs on.
    assert ground.sidecar.ready()
    assert ask_once(ground.sidecar.admin, "/v1/deployments/fraud", None).status == 200
    assert ground.sidecar.logged("child died") == []


# --- payloads that make no sense -------------------------------------------------------------------------------


class Payload(NamedTuple):
    """A body, and whether it must be counted as one that could not be read."""

    body: bytes
    unreadable: bool = True


def document(shape: object, data: str, kind: str = "FP64", name: str = "x") -> bytes:
    return b'{"inputs":[{"name":%s,"shape":%s,"datatype":"%s","data":%s}]}' % (
        json.dumps(name).encode(),
        json.dumps(shape).encode(),
        kind.encode(),
        data.encode(),
    )


HOSTILE = {
    "empty": Payload(b""),
    "no-json": Payload(b"\xff\xfe\x00 this is nothing"),
    "cut": Payload(ROW[:-7]),
    "not-an-object": Payload(b"[1,2,3]"),
    "deep": Payload(b"[" * 200_000 + b"]" * 200_000),
    "deep-objects": Payload(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep-data": Payload(document([1], "[" * 50_000 + "1" + "]" * 50_000)),
    "huge-number": Payload(document([1], "1" + "0" * 100_000)),
    "huge-exponent": Payload(document([1], "1e999999999"), unreadable=False),
    "nan": Payload(document([1], "NaN"), unreadable=False),
    "infinity": Payload(document([1], "-Infinity"), unreadable=False),
    "duplicate-keys": Payload(
        b'{"inputs":[],' + document([1], "[1.0]").replace(b'"name"', b'"name":"y","name"', 1)[1:], unreadable=False
    ),
    "lone-surrogate": Payload(document([1], '["\\ud800"]', "BYTES"), unreadable=False),
    "shape-too-large": Payload(document([1000], "[1.0]")),
    "shape-overflows": Payload(document([2**62, 2**62, 4], "[1.0]")),
    "shape-negative": Payload(document([-1], "[1.0]")),
    "shape-of-text": Payload(document("abc", "[1.0]")),
    "shape-fractional": Payload(document([1.5], "[1.0]")),
    "wrong-type": Payload(document([1], '["text"]'), unreadable=False),
    "unknown-type": Payload(document([1], "[1.0]", "FP7")),
    "many-tensors": Payload(b'{"inputs":[%s]}' % b",".join([document([1], "[1]")[11:-2]] * 20_000), unreadable=False),
    "long-name": Payload(document([1], "[1.0]", name="n" * 1_000_000), unreadable=False),
    "control-characters": Payload(document([1], "[1.0]", name="\x00\x1b[31m\r\n"), unreadable=False),
    "binary-sizes-lie": Payload(
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":99999999999}}]}abc'
    ),
}
# Control's work on all of them; one quadratic reader of 100 KB would take minutes.
CONTROL_CPU_S = 30.0


async def echo(connection: Connection) -> None:
    """A model that answers with what it was asked, byte by byte."""
    while True:
        request = await connection.request()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await connection.send(head % len(request.body) + request.body)


class Trial:
    """All of them sent, three times each, as content of JSON."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.control = ground.sidecar.control
        self.visits: dict[str, Visit] = {}
        used = process.cpu_s(self.control)
        lines = ("content-type: application/json",)
        for name, (body, _) in HOSTILE.items():
            ids = [f"{name}-{number}" for number in range(3)]
            self.visits[name] = run(visit(ground.data, path_of(name), ids, body=body, callers=1, lines=lines))
        for name in HOSTILE:
            ground.settled(name, 3)
        self.cpu_s = process.cpu_s(self.control) - used


@pytest.fixture(scope="module")
def trial(stage: Stage, make: MakeGround, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """With a baseline, so that requests are read too, not only answers."""
    file = tmp_path_factory.mktemp("baseline") / "baseline.json"
    file.write_bytes(to_json(build_baseline({"x": np.linspace(0.0, 1.0, 500)}, now=datetime(2026, 1, 1, tzinfo=UTC))))
    url = stage.backend(echo, record=False).url
    challenger = {"url": stage.backend(echo, record=False).url}
    return Trial(make([deployment(name, url, challenger, baseline=str(file)) for name in HOSTILE]))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_served_as_it_is_and_counted(trial: Trial, name: str) -> None:
    """R-F22: in requests and, since the model echoes, in its answers and those of its challenger."""
    body, unreadable = HOSTILE[name]

    assert dict(trial.visits[name].statuses) == {200: 3}
    assert trial.visits[name].bodies == {body}
    if unreadable:
        # Of three requests, three answers and three answers of the challenger.
        until("that it is counted", lambda: trial.ground.metric("sidecar_undecodable_total", deployment=name) >= 9)


def test_none_of_them_was_a_failure_of_an_observer_cost_much_or_stood_in_a_log(trial: Trial) -> None:
    ground = trial.ground
    ground.heard()

    assert ground.metric("sidecar_observation_failures_total") == 0
    assert ground.sidecar.ready()
    assert ground.sidecar.control == trial.control
    assert trial.cpu_s < CONTROL_CPU_S
    said = ground.sidecar.said
    assert "Traceback" not in said
    assert "n" * 100 not in said
    assert "this is nothing" not in said
