"""The one place where an error becomes an HTTP answer: RFC 9457 problem documents.

Keeps: every answer that is not a success is `application/problem+json`, says in one sentence what is wrong, and never
holds a traceback or an unknown exception's text. Does not: decide who may call, log bodies. The middleware wraps
every handler of `api`, unknown paths (404) and wrong methods (405) included.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sidecar.errors import Invalid, Refused, SidecarError, Unavailable, Unknown

CONTENT_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)

_STATUS: Mapping[type[SidecarError], int] = {Unknown: 404, Invalid: 400, Refused: 409, Unavailable: 503}
_SENTENCES: Mapping[int, str] = {
    404: "There is nothing at this path; the README lists what there is.",
    405: "This path does not take that method; Allow names those that it takes.",
    413: "The body is larger than this call takes.",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, detail: str, *, kind: str | None = None, **members: Any) -> web.Response:
    """One problem document. `kind` ends its type URN; without one the status says it all (about:blank)."""
    document: dict[str, Any] = {
        "type": f"urn:sidecar:problem:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return web.Response(status=status, body=msgspec.json.encode(document), content_type=CONTENT_TYPE)


def status_of(error: SidecarError) -> int:
    """The HTTP status that one of our own errors becomes."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)


def from_sidecar(error: SidecarError) -> web.Response:
    """Our own errors: their message is meant for people."""
    members: dict[str, Any] = {}
    if isinstance(error, Refused) and error.gates is not None:
        table = error.gates
        members = {"verdict": table.verdict, "evidence": table.evidence, "gates": table.gates}
    return problem(status_of(error), str(error), kind=type(error).__name__.lower(), **members)


def from_http(error: web.HTTPException) -> web.Response:
    """Refusals of aiohttp, ours raised through it included: the text is `reason` where we set one."""
    phrase = HTTPStatus(error.status).phrase
    said = error.reason if error.reason and error.reason != phrase else None
    answer = problem(error.status, said or _SENTENCES.get(error.status, f"{phrase}."))
    for name in ("Allow", "WWW-Authenticate", "Retry-After"):
        if name in error.headers:
            answer.headers[name] = error.headers[name]
    return answer


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Runs a handler and turns what it raises into a problem document."""
    try:
        return await handler(request)
    except SidecarError as error:
        return from_sidecar(error)
    except web.HTTPException as error:
        return from_http(error)
    except ConnectionError:
        raise  # the caller went away in the middle of an answer: nobody is left to tell
    except Exception as error:  # noqa: BLE001 -- the border of the admin API: a fault here must not show its inside
        _log.error("admin.fault", extra={"fields": {"method": request.method}}, exc_info=error)
        return problem(500, "Something went wrong inside the sidecar; its log names the place.", kind="fault")
