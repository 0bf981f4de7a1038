"""MLflow's scoring server behind the sidecar, in every form of body that it takes, and by its own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench.child import free_ports
from tests.peers.front import Stand, front
from tests.peers.standing import Environment

FORMS = 7
Answers = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environment, folder, (port,) = Environment("mlflow"), tmp_path_factory.mktemp("mlflow"), free_ports(1)
    environment.run(folder, "mlflow_model.py")
    command = ("mlflow", "models", "serve", "-m", "model", "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port))
    with (
        environment.serving(folder, port, "/ping", *command) as url,
        front(tmp_path_factory.mktemp("front"), url, {"fraud": "/invocations"}) as before,
        environment.calling(folder, "mlflow_client.py") as client,
    ):
        yield Stand(url, before, client)


@pytest.fixture(scope="module")
def answers(scoring: Stand) -> Answers:
    return scoring.both("good")


def test_clients_cannot_tell_the_sidecar_from_mlflow(answers: Answers) -> None:
    direct, through = answers

    assert through == direct
    assert [status for name, (status, _) in list(direct.items())[:-1]] == [200] * (3 + FORMS)


def test_every_byte_passes_as_it_is(scoring: Stand, answers: Answers) -> None:
    scoring.front.check_untouched(FORMS + 1)


def test_rows_of_every_form_are_counted_under_their_features(scoring: Stand, answers: Answers) -> None:
    report = scoring.front.watched("fraud", 3 * (FORMS + 1))

    assert report["prediction"]["n"] == 3 * (FORMS + 1)


@pytest.mark.parametrize("form", range(FORMS))
def test_predictions_are_read_for_every_form(scoring: Stand, answers: Answers, form: int) -> None:
    predictions = json.loads(answers[1]["dataframe_split"][1])["predictions"]

    assert scoring.front.predicted(f"form-{form}") == pytest.approx([row[1] for row in predictions])


def test_refusals_pass_as_they_are(scoring: Stand, answers: Answers) -> None:
    direct, through = scoring.both("bad")

    assert through == direct
    assert [status for status, _ in direct.values()] == [400, 400, 400, 415]
