"""The API's description: a valid document that says what the handlers do take, route by route."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from sidecar.admin.answer_types import answer_type
from sidecar.admin.problems import from_sidecar
from sidecar.errors import Refused
from tests.admin.api_ground import Serve
from tests.admin.fake_reports import table
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


def closed(schema: Any) -> Any:
    """The same, where a member that is not described is a fault: a client may meet one, this version must not."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    return found | {"additionalProperties": False} if isinstance(found.get("properties"), dict) else found


def faults(told: dict[str, Any], name: str, document: Any) -> list[str]:
    components = {"schemas": closed(told["components"]["schemas"])}
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(document)]


@pytest.mark.parametrize("service", [FakeService(calm=True), FakeService(broke=True), FakeService()])
async def test_each_answer_is_what_is_described_no_less_and_no_more(
    service: FakeService, serve: Serve, told: dict[str, Any]
) -> None:
    client = await serve(service)
    checked = set()
    for method, called, _, body, status in TABLE:
        path = path_of(told, called)
        if path is None or status != 200 or path == "/v1/openapi.json":
            continue
        answer = await client.request(method, called, json=body, headers={"Accept": "application/json"})
        document = await answer.json(content_type=None)
        if answer.status != 200:
            assert faults(told, "Problem", document) == [], called
            continue
        content = told["paths"][path][method.lower()]["responses"]["200"]["content"]["application/json"]
        assert faults(told, content["schema"]["$ref"].rpartition("/")[2], document) == [], called
        kind = answer_type(method, path)
        assert kind is not None
        msgspec.convert(document, kind)  # times too are what they are said to be
        checked.add((method, path))
    assert len(checked) > 20
    if service.verdict == "pass":
        described = {(method, path) for method, path, _ in operations(told)}
        elsewhere = {"/v1/events", "/v1/openapi.json", "/v1/registry/webhook", "/v1/ingest"}
        assert {path for _, path in described - checked} <= {*elsewhere, "/v1/deployments/{deployment}/rollback"}


def test_each_json_answer_has_a_type_and_each_refusal_is_a_problem(told: dict[str, Any]) -> None:
    for method, path, operation in operations(told):
        responses = operation["responses"]
        (content,) = (each["content"] for code, each in responses.items() if code != "default")
        if path not in ("/v1/events", "/v1/openapi.json"):
            assert content["application/json"]["schema"]["$ref"], (method, path)
        problem = responses["default"]["content"]["application/problem+json"]["schema"]["$ref"]
        assert problem.endswith("/Problem")


def test_what_gates_refuse_is_the_described_problem(told: dict[str, Any]) -> None:
    document = json.loads(from_sidecar(Refused("no", gates=table("3", "4", "fail"))).body)  # type: ignore[arg-type]

    assert document["gates"]
    assert faults(told, "Problem", document) == []
    assert faults(told, "Problem", {"title": "x"})
