"""What every handler needs of a call, and how it answers.

Keeps: who calls is known before a handler runs (`api` puts the caller here); JSON is encoded in one place.
Does not: check roles, parse bodies (`bodies`), turn errors into answers (`problems`). Called by all handlers.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from sidecar.admin.auth import Caller

CALLER = web.RequestKey("caller", Caller)


def deployment_of(request: web.Request) -> str:
    """The deployment that the path names."""
    return request.match_info["deployment"]


def json_answer(answer: Any) -> web.Response:
    """200 with a JSON body."""
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def html_answer(text: str, status: int = 200) -> web.Response:
    """A page."""
    return web.Response(status=status, body=text.encode(errors="replace"), content_type="text/html", charset="utf-8")
