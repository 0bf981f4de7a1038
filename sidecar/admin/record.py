"""The handlers of the record: head and check of the trail, transitions and their reports, cost, dead letters.

Keeps: each asks the service once and shapes the answer; a report's page gets a policy of its own, under which it can
load and run nothing. Called through `api`'s table.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from sidecar.admin import answers, bodies
from sidecar.admin.call import CALLER, deployment_of, json_answer
from sidecar.admin.record_service import RecordService
from sidecar.errors import Invalid, Unknown
from sidecar.recorded import SignedHead

_NEWEST = "latest"
_LONGEST_SEQ = 15
_DAYS, _MOST_DAYS = 7, 92


class RecordHandlers:
    """One method per line of the table."""

    def __init__(self, record: RecordService) -> None:
        self._record = record

    async def head(self, request: web.Request) -> web.Response:
        """To be kept elsewhere."""
        bodies.query(request)
        return json_answer(self._record.head())

    async def verify_against(self, request: web.Request) -> web.Response:
        """The whole trail beside a head that was kept elsewhere."""
        posted = await bodies.read_body(request, bodies.KeptHead)
        return json_answer(await self._record.verify_against(SignedHead(**msgspec.structs.asdict(posted))))

    async def transitions(self, request: web.Request) -> web.Response:
        """Every step of a deployment's champion."""
        bodies.query(request)
        found = await self._record.transitions(deployment_of(request))
        return json_answer({"items": [answers.transition_entry(entry) for entry in found]})

    async def report(self, request: web.Request) -> web.Response:
        """A page for browsers, Markdown for everybody else, or what `format` says; inside JSON where that is asked."""
        form = _form(request)
        text = await self._record.report(deployment_of(request), _seq(request.match_info["seq"]), form)
        if request.headers.get("Accept", "").startswith("application/json"):
            return json_answer({"format": form, "text": text})
        if form == "markdown":
            return web.Response(body=text.encode(), content_type="text/markdown", charset="utf-8")
        page = web.Response(body=text.encode(), content_type="text/html", charset="utf-8")
        page.headers["Content-Security-Policy"] = f"{self._record.report_policy}; frame-ancestors 'none'"
        return page

    async def cost(self, request: web.Request) -> web.Response:
        """What happened between two times."""
        values = bodies.query(request, "from", "to")
        since, until = bodies.moment(values, "from"), bodies.moment(values, "to")
        if since is None or until is None:
            raise Invalid("from and to are needed, times such as 2026-01-31T12:00:00Z.")
        return json_answer(answers.cost(await self._record.cost(deployment_of(request), since, until)))

    async def rehearsal(self, request: web.Request) -> web.Response:
        """The gates in force on the hours that are kept."""
        values = bodies.query(request, "challenger", "days")
        days = bodies.whole(values, "days", _DAYS, 1, _MOST_DAYS)
        found = await self._record.rehearsal(deployment_of(request), values.get("challenger"), None, days)
        return json_answer(answers.rehearsal(found))

    async def rehearse(self, request: web.Request) -> web.Response:
        """Other gates on the hours that are kept; changes nothing."""
        body = await bodies.read_body(request, bodies.Rehearse)
        found = await self._record.rehearsal(deployment_of(request), body.challenger, body.gates, body.days)
        return json_answer(answers.rehearsal(found))

    async def dead_letters(self, request: web.Request) -> web.Response:
        """Events that nobody took."""
        bodies.query(request)
        return json_answer(answers.dead_letters(await self._record.dead_letters()))

    async def send_again(self, request: web.Request) -> web.Response:
        """Tries one again."""
        body = await bodies.read_body(request, bodies.SendAgain)
        letter = request.match_info["letter"]
        if not (letter.isascii() and letter.isdigit() and len(letter) <= _LONGEST_SEQ):
            raise Unknown(f"There is no dead letter {letter[:50]!r}: they have numbers.")
        done = await self._record.send_again(int(letter), actor=request[CALLER].name, reason=body.reason)
        return json_answer(answers.dead_letter(done))


def _seq(text: str) -> int | None:
    if text == _NEWEST:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_SEQ):
        raise Invalid(f"A transition is named by the number of its audit entry, or {_NEWEST}.")
    return int(text)


def _form(request: web.Request) -> Literal["html", "markdown"]:
    match bodies.query(request, "format").get("format"):
        case "html" | "markdown" as asked:
            return asked
        case None:
            accepted = request.headers.get("Accept", "").lower()
            return "html" if "text/html" in accepted else "markdown"
        case _:
            raise Invalid("format is html or markdown.")
