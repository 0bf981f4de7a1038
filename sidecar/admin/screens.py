"""The handlers of the dashboard's screens and of its forms.

Keeps: without a token where one is needed every screen is a frame that tells nothing; an odd query is no fault, for a
page is no call; a form changes nothing before the role check of `api`, and what it did is shown after a redirect, so
that loading again does not do it again. Called through `api`'s table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote

from aiohttp import web

from sidecar.admin import confirming, problems
from sidecar.admin.auth import Access, Caller
from sidecar.admin.call import CALLER, deployment_of, html_answer
from sidecar.admin.dashboard import Dashboard, static_file
from sidecar.admin.deployment_view import Against
from sidecar.admin.service import Service
from sidecar.errors import Invalid, SidecarError

_FORM_BYTES = 64 << 10
_READ_TIMEOUT_S = 30.0
_LONGEST_NUMBER = 15
_MOST_FIELDS = 100
DAYS = (7, 30, 92)


class Screens:
    """One method per line of the table."""

    def __init__(self, service: Service, dashboard: Dashboard, access: Access) -> None:
        self._service = service
        self._dashboard = dashboard
        self._access = access

    async def overview(self, request: web.Request) -> web.Response:
        """Every deployment."""
        return await self._shown(request, self._dashboard.overview)

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        done = request.query.get("done")
        return await self._shown(
            request, lambda caller: self._dashboard.deployment(caller, deployment_of(request), done)
        )

    async def challenger(self, request: web.Request) -> web.Response:
        """One challenger beside the champion."""

        async def page(caller: Caller) -> str:
            days = _number(request, "days")
            return await self._dashboard.challenger(
                caller, deployment_of(request), request.match_info["version"], days if days in DAYS else DAYS[0]
            )

        return await self._shown(request, page)

    async def inputs(self, request: web.Request) -> web.Response:
        """Features by what is worst, or one of them."""

        async def page(caller: Caller) -> str:
            name, against, feature = deployment_of(request), _against(request), request.query.get("feature")
            if feature is not None:
                return self._dashboard.feature(caller, name, against, feature)
            return self._dashboard.inputs(caller, name, against, _number(request, "start") or 0)

        return await self._shown(request, page)

    async def outcomes(self, request: web.Request) -> web.Response:
        """Quality."""

        async def page(caller: Caller) -> str:
            return self._dashboard.outcomes(caller, deployment_of(request))

        return await self._shown(request, page)

    async def trail(self, request: web.Request) -> web.Response:
        """The audit trail."""
        before, verify = _number(request, "before"), "verify" in request.query
        return await self._shown(request, lambda caller: self._dashboard.trail(caller, before, verify=verify))

    async def ask(self, request: web.Request) -> web.Response:
        """What an action will do, before it is done."""

        async def page(caller: Caller) -> str:
            name, verb = deployment_of(request), request.match_info["verb"]
            need = confirming.NEEDS.get(verb, "operator")
            if not caller.may(need):
                return self._dashboard.fault(
                    caller, f"{caller.name} has the role {caller.role}; this needs the role {need}."
                )
            told = await confirming.intent(self._service, verb, name, request.query, caller.name)
            return self._dashboard.confirmation(caller, name, told)

        return await self._shown(request, page)

    async def act(self, request: web.Request) -> web.Response:
        """Does it; a refusal shows the same question again with the reason."""
        return await self._done(request, request.match_info["verb"])

    async def override(self, request: web.Request) -> web.Response:
        """The same for the one verb that asks for more."""
        return await self._done(request, "override")

    async def _done(self, request: web.Request, verb: str) -> web.Response:
        caller, name = request[CALLER], deployment_of(request)
        form = await _form(request)
        try:
            await confirming.carry_out(self._service, verb, name, form, caller.name)
        except SidecarError as error:
            told = await confirming.intent(self._service, verb, name, form, caller.name)
            page = self._dashboard.confirmation(caller, name, confirming.refused(told, error, form))
            return html_answer(page, problems.status_of(error))
        return web.Response(status=303, headers={"Location": f"/deployments/{quote(name, safe='')}?done={verb}"})

    async def static(self, request: web.Request) -> web.Response:
        """Style, script and icon."""
        file = static_file(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.content_type})

    async def _shown(self, request: web.Request, page: Callable[[Caller], Awaitable[str]]) -> web.Response:
        shown = request.get_extra_info("peercert")
        caller = self._access.caller(request.headers.get("Authorization"), request.remote, shown)
        if caller is None or not caller.may("viewer"):
            return html_answer(self._dashboard.frame())
        try:
            return html_answer(await page(caller))
        except SidecarError as error:
            return html_answer(self._dashboard.fault(caller, str(error)), problems.status_of(error))


def _against(request: web.Request) -> Against:
    return "recent" if request.query.get("against") == "recent" else "training"


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a form as browsers send it; the first one of a name counts."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Invalid("The dashboard's forms are sent as application/x-www-form-urlencoded.")
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            body = await request.content.read(_FORM_BYTES + 1)
            while len(body) <= _FORM_BYTES and (more := await request.content.read(_FORM_BYTES + 1)):
                body += more
    except TimeoutError as error:
        raise Invalid(f"The form did not arrive within {_READ_TIMEOUT_S:.0f} s.") from error
    if len(body) > _FORM_BYTES:
        raise Invalid(f"A form has at most {_FORM_BYTES:,} bytes.")
    try:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Invalid(f"A form has at most {_MOST_FIELDS} fields.") from error
    return dict(reversed(fields))
