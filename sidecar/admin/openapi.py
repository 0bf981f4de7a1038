"""The API described as OpenAPI 3.1, made of the routes and of the types that parse bodies and that answers tell.

Keeps: what is described is what is parsed; a route that is not told of here takes neither query nor body.
Does not: say what answers mean beyond their types (docs/api.md does). Called by `api_document`, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sidecar import __version__
from sidecar.admin import bodies
from sidecar.admin.answer_types import Problem, answer_type, as_told
from sidecar.admin.caller import Need
from sidecar.config_versions import Challenger

_ONE = "/v1/deployments/{deployment}"
# What parses each call's body. A whole body may be left out of the one that has None beside its type.
_BODIES: Mapping[tuple[str, str], type[msgspec.Struct]] = {
    ("POST", f"{_ONE}/drift/reference"): bodies.FreezeReference,
    ("POST", f"{_ONE}/features"): bodies.PostedRows,
    ("POST", f"{_ONE}/gates/rehearsal"): bodies.Rehearse,
    ("POST", f"{_ONE}/promote"): bodies.Promote,
    ("POST", f"{_ONE}/override"): bodies.Promote,
    ("POST", f"{_ONE}/canary"): bodies.Canary,
    ("POST", f"{_ONE}/approvals"): bodies.Approve,
    ("POST", f"{_ONE}/hold"): bodies.Hold,
    ("POST", f"{_ONE}/rollback"): bodies.Rollback,
    ("DELETE", f"{_ONE}/challengers/{{version}}"): bodies.RemoveChallenger,
    ("POST", f"{_ONE}/shadow"): bodies.SwitchShadow,
    ("POST", f"{_ONE}/registry/reconcile"): bodies.Reconcile,
    ("POST", "/v1/outcomes"): bodies.PostedOutcomes,
    ("POST", "/v1/alarms/{alarm}/acknowledge"): bodies.Acknowledge,
    ("POST", "/v1/audit/verify"): bodies.KeptHead,
    ("POST", "/v1/events/dead-letters/{letter}/resend"): bodies.SendAgain,
}
_MAY_BE_LEFT_OUT = frozenset({("DELETE", f"{_ONE}/challengers/{{version}}")})
_SET_CHALLENGER = ("PUT", f"{_ONE}/challengers/{{version}}")
# Bodies of others' making, which are checked where they come in.
_OF_OTHERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/v1/ingest"): ("application/cloudevents+json", "application/json"),
    ("POST", "/v1/registry/webhook"): ("application/json",),
}
_TEXT = {"type": "string", "maxLength": 128}
_MOMENT = {"type": "string", "format": "date-time"}


def _whole(lowest: int, highest: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": lowest, "maximum": highest, "default": default}


_QUERIES: Mapping[str, Mapping[str, dict[str, Any]]] = {
    f"{_ONE}/comparison": {"challenger": _TEXT},
    f"{_ONE}/drift": {"against": {"type": "string", "enum": ["training", "recent"], "default": "training"}},
    f"{_ONE}/gates": {"challenger": _TEXT},
    f"{_ONE}/gates/rehearsal": {"challenger": _TEXT, "days": _whole(1, 92, 7)},
    f"{_ONE}/approvals": {"challenger": _TEXT},
    f"{_ONE}/champion": {"at": _MOMENT},
    f"{_ONE}/label-queue": {"challenger": _TEXT, "limit": _whole(1, 1_000, 100)},
    f"{_ONE}/transitions/{{seq}}/report": {"format": {"type": "string", "enum": ["html", "markdown"]}},
    f"{_ONE}/cost": {"from": _MOMENT, "to": _MOMENT},
    "/v1/audit": {"after": _whole(0, 10**15, 0), "limit": _whole(1, 1_000, 100)},
}
_REQUIRED = frozenset({"from", "to"})
_SAYS: Mapping[str, str] = {
    "after": "Entries with a larger seq; the next page comes after the last one's, and the last page is empty.",
    "limit": "At most so many.",
}
_TAKEN_LATER = frozenset({("POST", "/v1/registry/webhook")})


def document(table: Iterable[tuple[str, str, Need]]) -> dict[str, Any]:
    """OpenAPI 3.1 of the calls under /v1."""
    paths: dict[str, dict[str, Any]] = {}
    kinds: set[type[msgspec.Struct]] = {*_BODIES.values(), as_told(Problem)}
    for method, path, need in table:
        if path.startswith("/v1/"):
            told = answer_type(method, path)
            kinds |= {told} if told is not None else set()
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, need, told)
    in_order = sorted(kinds, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(in_order, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Serving sidecar",
            "version": __version__,
            "description": "The admin API. What each call means stands in docs/api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas | {"SetChallenger": _challenger()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(method: str, path: str, need: Need, told: type[msgspec.Struct] | None) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    queries = _QUERIES.get(path, {}) if method == "GET" else {}
    parameters += [
        {"name": name, "in": "query", "required": name in _REQUIRED, "schema": schema}
        | ({"description": _SAYS[name]} if name in _SAYS else {})
        for name, schema in queries.items()
    ]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    done = "202" if (method, path) in _TAKEN_LATER else "200"
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "-", f"{method.lower()}{path.removeprefix('/v1')}").strip("-"),
        "description": f"Lowest role: {need}." if need != "anyone" else "Anyone.",
        "parameters": parameters,
        "responses": {
            done: {"description": "Done.", "content": _content(path, told)},
            "default": {"description": "Refused, or not possible now.", "content": problem},
        },
        "security": [] if need == "anyone" else [{"bearer": []}, {"basic": []}],
    }
    body = _body(method, path)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _content(path: str, told: type[msgspec.Struct] | None) -> dict[str, Any]:
    if path == "/v1/events":
        return {"text/event-stream": {}}
    schema = {"type": "object"} if told is None else {"$ref": f"#/components/schemas/{told.__name__}"}
    forms = ("text/html", "text/markdown") if path.endswith("/report") else ()
    return {"application/json": {"schema": schema}} | {form: {} for form in forms}


def _body(method: str, path: str) -> dict[str, Any] | None:
    call = method, path
    kind = _BODIES.get(call)
    name = kind.__name__ if kind is not None else "SetChallenger" if call == _SET_CHALLENGER else None
    if name is not None:
        schema = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        return {"required": call not in _MAY_BE_LEFT_OUT, "content": {"application/json": schema}}
    others = _OF_OTHERS.get(call)
    return None if others is None else {"required": True, "content": {each: {} for each in others}}


def _challenger() -> dict[str, Any]:
    """The settings file's own description of a challenger; what is left out of a call stays as it was."""
    told = Challenger.model_json_schema(ref_template="#/components/schemas/SetChallenger/$defs/{model}")
    told["properties"] |= {"reason": {"type": "string", "maxLength": 2_000}}
    return {name: value for name, value in told.items() if name not in ("required", "title")}
