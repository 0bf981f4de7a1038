"""An MLflow that refuses, lies, or is none: what is told, and what is not believed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from registry_client.access import Access
from registry_client.errors import (
    AlreadyExists,
    InvalidDocument,
    InvalidName,
    NotFound,
    Refused,
    RegistryError,
    Unreachable,
)
from registry_client.mlflow import MlflowRegistry
from tests.registry_client.scripted_server import Asked, Says, Script, says, scripted

VERSION = {"name": "fraud", "version": "1", "creation_timestamp": 1_000}
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Mlflow:
    """Answers by call; a test puts its own in place."""

    def __init__(self) -> None:
        self.calls: dict[str, Says | Callable[[Asked], Says]] = {
            "registered-models/get": says({"registered_model": {"name": "fraud"}}),
            "model-versions/get": says({"model_version": VERSION}),
            "model-versions/search": says({"model_versions": [VERSION]}),
            "registered-models/alias": says({"model_version": VERSION}),
            "model-versions/set-tag": says({}),
            "model-versions/delete": says({}),
            "logged-models": says({"model": {"info": {"model_id": "m-1", "artifact_uri": "mlflow-artifacts:/0/m-1"}}}),
            "logged-models/m-1": says({}),
            "registered-models/create": says({"registered_model": {"name": "fraud"}}),
            "model-versions/create": says({"model_version": VERSION}),
        }

    def __call__(self, asked: Asked) -> Says:
        if asked.path.startswith(PROXY):
            return says({})
        answer = self.calls[asked.path.removeprefix("/api/2.0/mlflow/")]
        return answer(asked) if callable(answer) else answer


@pytest.fixture
def mlflow() -> Mlflow:
    return Mlflow()


@pytest.fixture
async def server(mlflow: Mlflow) -> AsyncIterator[Script]:
    async with scripted(mlflow) as script:
        yield script


@pytest.fixture
async def registry(server: Script) -> AsyncIterator[MlflowRegistry]:
    opened = MlflowRegistry(server.url, Access(timeout_s=10, token="t0ken"))
    yield opened
    await opened.close()


def fault(code: str, message: str = "because", status: int = 400) -> Says:
    return says({"error_code": code, "message": message}, status)


EVERY_READ: list[Callable[[MlflowRegistry], Awaitable[Any]]] = [
    lambda registry: registry.version("fraud", "1"),
    lambda registry: registry.versions("fraud"),
    lambda registry: registry.by_alias("fraud", "champion"),
    lambda registry: registry.aliases("fraud"),
    lambda registry: registry.baseline("fraud", "1"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (fault("PERMISSION_DENIED", "ask the owner", 403), Refused, "does not let us"),
        (says("nope", 403, "text/plain"), Refused, r"does not let us at .* \(403\)"),
        (
            says("Invalid Host header - possible DNS rebinding attack detected", 403, "text/plain"),
            Refused,
            "--allowed-hosts",
        ),
        (says("<h1>Unauthorized</h1>", 401, "text/html"), Refused, "does not accept the credentials"),
        (fault("INTERNAL_ERROR", "disk\nfull", 500), Unreachable, "disk full"),
        (fault("TEMPORARILY_UNAVAILABLE", "", 503), Unreachable, "TEMPORARILY_UNAVAILABLE"),
        (says("<h1>Bad gateway</h1>", 502, "text/html"), Unreachable, "status 502"),
        (says("slow down", 429, "text/plain"), Unreachable, "status 429"),
        (says("<h1>Not Found</h1>", 404, "text/html"), Unreachable, "is the address complete"),
        (says({"detail": "Not Found"}, 404), Unreachable, "is the address complete"),
        (fault("ENDPOINT_NOT_FOUND", "no such endpoint", 404), InvalidDocument, "no such endpoint"),
        (fault("INVALID_PARAMETER_VALUE", "too long, t0ken"), InvalidDocument, "too long, …"),
        (says("<html>please log in</html>", 200, "text/html"), InvalidDocument, "cannot be read"),
        (says("{}"), InvalidDocument, "cannot be read"),
        (says("[]"), InvalidDocument, "cannot be read"),
        (says(b"[" * 100_000), InvalidDocument, "cannot be read"),
        (says(b" " * (8 * 1024 * 1024 + 1)), InvalidDocument, "larger than"),
        (says("", 418), Unreachable, "418"),
    ],
)
async def test_every_fault_is_a_sentence(
    registry: MlflowRegistry, mlflow: Mlflow, answer: Says, kind: type[RegistryError], sentence: str
) -> None:
    mlflow.calls = dict.fromkeys(mlflow.calls, answer)
    for read in EVERY_READ:
        with pytest.raises(RegistryError, match=sentence) as caught:
            await read(registry)
        assert isinstance(caught.value, kind)
        assert "t0ken" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert str(caught.value).isprintable()


async def test_an_alias_that_is_missing_is_told_by_mlflows_words_not_its_status(
    registry: MlflowRegistry, mlflow: Mlflow
) -> None:
    mlflow.calls["registered-models/alias"] = fault("INVALID_PARAMETER_VALUE", "Registered model alias x not found.")
    with pytest.raises(NotFound, match="no alias 'champion'"):
        await registry.by_alias("fraud", "champion")


@pytest.mark.parametrize("changes", [{"name": "other"}, {"version": "2"}, {"version": "../2"}, {"version": ""}])
async def test_an_answer_about_something_else_is_not_believed(
    registry: MlflowRegistry, mlflow: Mlflow, changes: dict[str, str]
) -> None:
    mlflow.calls["model-versions/get"] = says({"model_version": VERSION | changes})
    with pytest.raises(InvalidDocument):
        await registry.version("fraud", "1")


async def test_other_models_among_the_answers_are_not_believed(registry: MlflowRegistry, mlflow: Mlflow) -> None:
    mlflow.calls |= {
        "registered-models/alias": says({"model_version": VERSION | {"name": "other"}}),
        "model-versions/search": says({"model_versions": [VERSION, VERSION | {"name": "other"}]}),
    }
    for asked in (registry.by_alias("fraud", "champion"), registry.versions("fraud")):
        with pytest.raises(InvalidDocument, match="another"):
            await asked
    mlflow.calls["registered-models/get"] = says({"registered_model": {"name": "other"}})
    with pytest.raises(InvalidDocument, match="another"):
        await registry.aliases("fraud")


async def test_an_alias_that_points_at_no_number_is_not_believed(registry: MlflowRegistry, mlflow: Mlflow) -> None:
    aliases = [{"alias": "champion", "version": "../../etc"}]
    mlflow.calls["registered-models/get"] = says({"registered_model": {"name": "fraud", "aliases": aliases}})
    with pytest.raises(InvalidDocument, match="no version of MLflow"):
        await registry.aliases("fraud")


async def test_pages_are_followed_to_their_end(registry: MlflowRegistry, mlflow: Mlflow, server: Script) -> None:
    def page(asked: Asked) -> Says:
        number = int(asked.query.get("page_token", "1"))
        more = {"next_page_token": str(number + 1)} if number < 5 else {}
        return says({"model_versions": [VERSION | {"version": str(number), "creation_timestamp": 9 - number}]} | more)

    mlflow.calls["model-versions/search"] = page
    assert [one.version for one in await registry.versions("fraud")] == ["5", "4", "3", "2", "1"]
    searches = [one for one in server.asked if one.path.endswith("search")]
    assert [one.query["filter"] for one in searches] == ["name='fraud'"] * 5


async def test_pages_without_end_are_given_up(
    registry: MlflowRegistry, mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry_client.mlflow._PAGES", 20)
    mlflow.calls["model-versions/search"] = says({"model_versions": [VERSION], "next_page_token": "again"})
    with pytest.raises(InvalidDocument, match="does not end"):
        await registry.versions("fraud")


async def test_a_version_outlives_its_run(registry: MlflowRegistry, mlflow: Mlflow) -> None:
    mlflow.calls["model-versions/get"] = says({"model_version": VERSION | {"run_id": "1c72"}})
    mlflow.calls["runs/get"] = fault("RESOURCE_DOES_NOT_EXIST", "Run with id=1c72 not found", 404)
    assert (await registry.version("fraud", "1")).lineage == {}


async def test_a_run_that_many_versions_share_is_asked_for_once(
    registry: MlflowRegistry, mlflow: Mlflow, server: Script
) -> None:
    shared = [VERSION | {"version": str(number), "run_id": "1c72"} for number in range(1, 21)]
    mlflow.calls["model-versions/search"] = says({"model_versions": shared})
    mlflow.calls["runs/get"] = says({"run": {"info": {"run_id": "1c72", "user_id": "ann"}}})
    assert {one.lineage["created_by"] for one in await registry.versions("fraud")} == {"ann"}
    assert sum(one.path.endswith("runs/get") for one in server.asked) == 1


async def test_a_version_that_got_another_number_is_taken_back(
    registry: MlflowRegistry, mlflow: Mlflow, server: Script
) -> None:
    mlflow.calls["model-versions/get"] = fault("RESOURCE_DOES_NOT_EXIST", "no", 404)
    mlflow.calls["model-versions/create"] = says({"model_version": VERSION | {"version": "3"}})
    with pytest.raises(InvalidName, match="the next of 'fraud' is 4, not 7"):
        await registry.register("fraud", "7")
    deleted = [one for one in server.asked if one.method == "DELETE"]
    assert [json.loads(one.body) for one in deleted] == [{"name": "fraud", "version": "3"}]


async def test_any_number_is_taken_where_none_is_asked_for(registry: MlflowRegistry, mlflow: Mlflow) -> None:
    mlflow.calls["model-versions/create"] = says({"model_version": VERSION | {"version": "17"}})
    mlflow.calls["model-versions/get"] = says({"model_version": VERSION | {"version": "17"}})
    assert (await registry.register("fraud", "")).version == "17"


async def test_a_version_is_not_made_twice_because_an_answer_was_lost(
    registry: MlflowRegistry, mlflow: Mlflow, server: Script
) -> None:
    mlflow.calls["model-versions/create"] = Says(b"")
    with pytest.raises(Unreachable):
        await registry.register("fraud", "")
    assert sum(one.path.endswith("model-versions/create") for one in server.asked) == 1


async def test_a_model_that_exists_already_gets_another_version(registry: MlflowRegistry, mlflow: Mlflow) -> None:
    mlflow.calls["registered-models/create"] = fault("RESOURCE_ALREADY_EXISTS")
    assert (await registry.register("fraud", "")).version == "1"
    mlflow.calls["registered-models/create"] = fault("PERMISSION_DENIED", "no", 403)
    with pytest.raises(Refused):
        await registry.register("fraud", "")


async def test_whoever_registers_what_is_there_is_told_before_anything_is_uploaded(
    registry: MlflowRegistry, server: Script
) -> None:
    with pytest.raises(AlreadyExists, match="fraud/1"):
        await registry.register("fraud", "1")
    assert [one for one in server.asked if one.method == "PUT"] == []


async def test_a_name_with_spaces_and_letters_of_any_language_is_mlflows_to_judge(
    registry: MlflowRegistry, mlflow: Mlflow, server: Script
) -> None:
    mlflow.calls["registered-models/get"] = says({"registered_model": {"name": "Betrug & Zahlung (größer)"}})
    assert await registry.aliases("Betrug & Zahlung (größer)") == {}
    assert server.asked[0].query == {"name": "Betrug & Zahlung (größer)"}
