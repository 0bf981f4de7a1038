"""KServe's own Python server behind the sidecar, driven by its own client: V1, V2, JSON and binary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.child import free_ports
from tests.peers.front import Stand, front
from tests.peers.standing import PROGRAMS, Environment

ROUTES = {"fraud-v1": "/v1/models/fraud:predict", "fraud-v2": "/v2/models/fraud/infer"}
Answers = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environment, folder, (port,) = Environment("kserve"), tmp_path_factory.mktemp("kserve"), free_ports(1)
    program = str(PROGRAMS / "kserve_server.py")
    with (
        environment.serving(folder, port, "/v2/models/fraud/ready", "python", program, str(port)) as url,
        front(tmp_path_factory.mktemp("front"), url, ROUTES) as before,
        environment.calling(folder, "kserve_client.py") as client,
    ):
        yield Stand(url, before, client)


@pytest.fixture(scope="module")
def answers(kserve: Stand) -> Answers:
    return kserve.both("good")


def test_its_client_cannot_tell_the_sidecar_from_kserve(answers: Answers) -> None:
    direct, through = answers

    assert through == direct
    assert len(direct["v1 60"]["predictions"]) == 60


def test_every_byte_passes_as_it_is(kserve: Stand, answers: Answers) -> None:
    kserve.front.check_untouched(7)

    assert any(answer.header("inference-header-content-length") for _, answer in kserve.front.callers.exchanges())


@pytest.mark.parametrize(("deployment", "rows"), [("fraud-v1", 3 + 1 + 60), ("fraud-v2", 4 * 3)])
def test_rows_are_counted_under_the_baselines_names(
    kserve: Stand, answers: Answers, deployment: str, rows: int
) -> None:
    report = kserve.front.watched(deployment, rows)

    assert report["prediction"]["n"] == rows


def test_predictions_are_read_in_both_protocols(kserve: Stand, answers: Answers) -> None:
    scores = answers[1]["v1 3"]["predictions"]

    assert kserve.front.predicted("v1-0") == pytest.approx(scores)
    for number in range(4):
        assert kserve.front.predicted(f"v2-{number}") == pytest.approx(scores)


def test_refusals_pass_as_they_are(kserve: Stand, answers: Answers) -> None:
    direct, through = kserve.both("bad")

    assert through == direct
    assert [status for status, _ in direct.values()] == [404, 400, 400]
