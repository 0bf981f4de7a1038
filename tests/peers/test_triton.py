"""A real NVIDIA Triton behind the sidecar, driven by its own clients: JSON, binary tensors, compression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.child import free_ports
from tests.peers.front import Stand, front
from tests.peers.standing import PROGRAMS, Environment

# 10 ways by each client, one mixed, four at once; three rows each.
CALLS = 10 + 10 + 1 + 4
Answers = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environment, folder, (port,) = Environment("triton"), tmp_path_factory.mktemp("triton"), free_ports(1)
    program = str(PROGRAMS / "triton_server.py")
    with (
        environment.serving(folder, port, "/v2/models/fraud/ready", "python", program, str(port)) as url,
        front(tmp_path_factory.mktemp("front"), url, {"fraud": "/v2/models/fraud/infer"}) as before,
        environment.calling(folder, "triton_client.py") as client,
    ):
        yield Stand(url, before, client)


@pytest.fixture(scope="module")
def answers(triton: Stand) -> Answers:
    return triton.both("good")


def test_its_clients_cannot_tell_the_sidecar_from_triton(answers: Answers) -> None:
    direct, through = answers

    assert through == direct
    assert {len(said["scores"]) for said in direct.values() if isinstance(said, dict) and "scores" in said} == {3}


def test_every_byte_passes_as_it_is(triton: Stand, answers: Answers) -> None:
    triton.front.check_untouched(CALLS)

    codings = {answer.header("content-encoding") for _, answer in triton.front.callers.exchanges()}
    assert codings == {None, "gzip", "deflate"}
    binary = [a for _, a in triton.front.callers.exchanges() if a.header("inference-header-content-length")]
    assert len(binary) >= CALLS // 2


def test_rows_are_counted_under_their_features_whatever_form_they_came_in(triton: Stand, answers: Answers) -> None:
    report = triton.front.watched("fraud", 3 * CALLS)

    assert report["prediction"]["n"] == 3 * CALLS


@pytest.mark.parametrize("client", ["sync", "aio"])
@pytest.mark.parametrize("way", range(10))
def test_predictions_are_read_from_every_form_of_answer(triton: Stand, answers: Answers, client: str, way: int) -> None:
    scores = [score for (score,) in answers[1]["json to json"]["scores"]]

    assert triton.front.predicted(f"{client}-{way}") == pytest.approx(scores, rel=1e-6)


def test_refusals_pass_as_they_are(triton: Stand, answers: Answers) -> None:
    direct, through = triton.both("bad")

    assert through == direct
    assert set(direct) == {"no such model", "wrong shape"}
    triton.front.check_untouched(CALLS)
