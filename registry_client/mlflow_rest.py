"""Calls of MLflow's REST interface, the names that may go into them, and what its refusals mean.

Invariant: a call returns a typed document or raises a RegistryError in one sentence; a name that MLflow, its filters
or a path could read as something else is an InvalidName before it is sent. Called by `mlflow` and `mlflow_files`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from registry_client.connecting import one_line
from registry_client.errors import (
    AlreadyExists,
    InvalidDocument,
    InvalidName,
    NotFound,
    Refused,
    RegistryError,
    Unreachable,
)
from registry_client.fetching import Answer, Fetcher
from registry_client.mlflow_documents import FaultDocument, decoded

_API = "api/2.0/mlflow"
_MODEL = re.compile(r"(?![. ])[\w .@+=(),&-]{1,250}(?<! )")
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,250}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_Document = TypeVar("_Document")


def model_name(name: str) -> str:
    """The name as it is; MLflow takes more, but not what is special in its filters or in a path."""
    if not _MODEL.fullmatch(name):
        raise InvalidName(
            f"{name[:128]!r} cannot be the name of a model: "
            "up to 250 letters, digits, spaces and .-_@+=(),& with neither dot nor space in front"
        )
    return name


def alias_name(name: str) -> str:
    """The name as it is."""
    if not _ALIAS.fullmatch(name):
        raise InvalidName(f"{name[:128]!r} cannot be the name of an alias: up to 250 letters, digits, - and _")
    return name


def version_number(version: str) -> str:
    """The version as it is."""
    if not _VERSION.fullmatch(version):
        raise InvalidName(f"{version[:128]!r} cannot be a version: MLflow numbers them 1, 2, 3 and so on")
    return version


async def call(
    fetcher: Fetcher,
    method: str,
    path: str,
    kind: type[_Document],
    subject: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    repeatable: bool = True,
) -> _Document:
    """One call below `/api/2.0/mlflow/`; `subject` stands in the sentence of a fault."""
    document = None if body is None else msgspec.json.encode(body)
    answer = await fetcher.ask(method, fetcher.below(f"{_API}/{path}", query), document=document, repeatable=repeatable)
    if answer.status == 200:
        return decoded(answer.body, kind, subject)
    if answer.status == 404 and not _is_fault(answer):
        # Not of MLflow: a gateway before it, or another server. What it lacks must not count as deleted.
        raise Unreachable(f"{fetcher.origin} answers, but not as MLflow does (404): is the address complete?")
    raise fault_of(answer, subject)


def answered_version(version: str) -> str:
    """The version that an answer names, as it is; InvalidDocument where it is none."""
    if not _VERSION.fullmatch(version):
        raise InvalidDocument(f"MLflow's answer names {one_line(version)[:128]!r}, which is no version of MLflow")
    return version


def fault_of(answer: Answer, subject: str) -> RegistryError:
    """What an answer that is no success means. Decided by MLflow's error code: its statuses say less."""
    try:
        said = decoded(answer.body, FaultDocument, subject)
    except InvalidDocument:
        return _plain_fault(answer, subject)
    code, message = said.error_code, one_line(said.message)
    if code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"} or (
        code == "INVALID_PARAMETER_VALUE" and "not found" in message
    ):
        return NotFound(f"MLflow has no {subject}: {message}")
    if code == "RESOURCE_ALREADY_EXISTS":
        return AlreadyExists(f"MLflow has {subject} already")
    if code in {"PERMISSION_DENIED", "UNAUTHENTICATED"} or answer.status == 403:
        return Refused(f"MLflow does not let us at {subject}: {message or code}")
    if answer.status >= 500 or answer.status == 429:
        return Unreachable(f"MLflow cannot answer about {subject}: {message or code}")
    return InvalidDocument(f"MLflow refuses {subject}: {message or code}")


def _is_fault(answer: Answer) -> bool:
    try:
        decoded(answer.body, FaultDocument, "a fault")
    except InvalidDocument:
        return False
    return True


def _plain_fault(answer: Answer, subject: str) -> RegistryError:
    text = one_line(answer.body[:2_000].decode("utf-8", "replace"))
    if answer.status == 403 and "Invalid Host header" in text:
        return Refused(
            "MLflow does not know the host by which it is asked (403, Invalid Host header): "
            "start the server with --allowed-hosts and that host"
        )
    if answer.status == 403:
        return Refused(f"the registry does not let us at {subject} (403)")
    if answer.status == 404:
        return NotFound(f"the registry has no {subject} (404)")
    return Unreachable(f"the registry answers about {subject} with status {answer.status} and nothing of MLflow's")
