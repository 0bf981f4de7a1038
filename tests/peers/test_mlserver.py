"""A real MLServer with a scikit-learn model behind the sidecar; it compresses its answers where that is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench.child import free_ports
from tests.peers.front import Stand, front
from tests.peers.standing import Environment

ROWS = (3, 3, 120, 3)
CODINGS = ("identity", "gzip")
CALLS = 2 * (len(ROWS) + 1)
WATCHED = 2 * (sum(ROWS) + 3)
Answers = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environment, folder = Environment("mlserver"), tmp_path_factory.mktemp("mlserver")
    port, *others = free_ports(3)
    environment.run(folder, "mlserver_model.py", str(port), *map(str, others))
    with (
        environment.serving(folder, port, "/v2/models/fraud/ready", "mlserver", "start", ".") as url,
        front(tmp_path_factory.mktemp("front"), url, {"fraud": "/v2/models/fraud/infer"}) as before,
        environment.calling(folder, "mlserver_client.py") as client,
    ):
        yield Stand(url, before, client)


@pytest.fixture(scope="module")
def answers(mlserver: Stand) -> Answers:
    return mlserver.both("good")


def test_clients_cannot_tell_the_sidecar_from_mlserver(answers: Answers) -> None:
    direct, through = answers

    assert through == direct
    assert direct["many rows, gzip"][:2] == [200, "gzip"]
    assert direct["many rows, identity"][:2] == [200, None]


def test_every_byte_passes_as_it_is(mlserver: Stand, answers: Answers) -> None:
    mlserver.front.check_untouched(CALLS)


def test_rows_are_counted_under_their_features_whatever_form_they_came_in(mlserver: Stand, answers: Answers) -> None:
    report = mlserver.front.watched("fraud", WATCHED)

    assert report["prediction"]["n"] == WATCHED


@pytest.mark.parametrize("coding", CODINGS)
def test_predictions_are_read_from_plain_and_compressed_answers(mlserver: Stand, answers: Answers, coding: str) -> None:
    outputs = {
        output["name"]: output["data"] for output in json.loads(answers[1]["wide, flat, identity"][2])["outputs"]
    }
    positive = outputs["predict_proba"][1::2]

    for number, rows in enumerate(ROWS):
        assert mlserver.front.predicted(f"{coding}-{number}") == pytest.approx(positive * (rows // 3))
    assert mlserver.front.predicted(f"client-{coding}") == pytest.approx(positive)


def test_refusals_pass_as_they_are(mlserver: Stand, answers: Answers) -> None:
    direct, through = mlserver.both("bad")

    assert through == direct
    assert [status for status, *_ in direct.values()] == [404, 422, 422]
