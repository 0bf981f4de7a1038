"""The API's description: a valid document that says what the handlers do take, route by route."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.admin.api_ground import Serve
from tests.admin.fake_service import FakeService
from tests.admin.test_api import TABLE


@pytest.fixture
async def told(serve: Serve) -> dict[str, Any]:
    client = await serve(FakeService(calm=True))
    answer = await client.get("/v1/openapi.json")
    assert answer.status == 200
    document: dict[str, Any] = await answer.json()
    return document


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method.upper(), path, each) for path, item in told["paths"].items() for method, each in item.items()]


def path_of(told: dict[str, Any], called: str) -> str | None:
    """The described path that a called one is."""
    plain = called.partition("?")[0]
    fitting = [path for path in told["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), plain)]
    return max(fitting, key=lambda path: -path.count("{"), default=None)


def test_every_call_of_the_table_is_described_with_its_role(told: dict[str, Any]) -> None:
    for method, called, need, _, _ in TABLE:
        if called.startswith("/v1/"):
            path = path_of(told, called)
            assert path is not None, called
            operation = told["paths"][path][method.lower()]
            assert need in operation["description"].lower()
            assert bool(operation["security"]) == (need != "anyone")


def test_the_document_refers_to_nothing_that_is_not_there(told: dict[str, Any]) -> None:
    for pointer in re.findall(r"'\$ref': '#/([^']+)'", str(told)):
        place: Any = told
        for step in pointer.split("/"):
            place = place[step]
        assert place
    names = [operation["operationId"] for _, _, operation in operations(told)]
    assert len(set(names)) == len(names)
    for schema in told["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_whatever_changes_something_has_a_described_body(told: dict[str, Any]) -> None:
    for method, path, operation in operations(told):
        assert ("requestBody" in operation) == (method != "GET"), (method, path)


@pytest.mark.parametrize("call", [each for each in TABLE if each[3] and each[4] == 200], ids=lambda each: each[1])
async def test_a_body_that_is_taken_is_one_that_is_described(
    call: tuple[str, str, str, Any, int], told: dict[str, Any]
) -> None:
    method, called, _, body, _ = call
    path = path_of(told, called)
    assert path is not None
    (content,) = told["paths"][path][method.lower()]["requestBody"]["content"].values()
    validator = Draft202012Validator(content["schema"] | {"components": told["components"]})

    assert list(validator.iter_errors(body)) == []
    assert list(validator.iter_errors({"no-such-key": 1}))


async def test_each_call_takes_the_query_that_is_described(serve: Serve, told: dict[str, Any]) -> None:
    """The refusal of an unknown name tells the known ones."""
    client = await serve(FakeService(calm=True))
    for method, called, _, _, _ in TABLE:
        path = path_of(told, called)
        if method != "GET" or path is None:
            continue
        refused = await client.get(called.partition("?")[0], params={"no-such-name": "1"})
        assert refused.status == 400, called
        detail = (await refused.json())["detail"]
        known = re.search(r"it takes (?!none)(.*?)\.$", detail)
        described = [each["name"] for each in told["paths"][path]["get"]["parameters"] if each["in"] == "query"]
        assert (known[1].split(", ") if known else []) == described, called
