"""The admin API: every route with its method, path, lowest role and handler, in one table.

Keeps: a route exists only through the table, and no handler runs before the Host, cross-site and role checks of `auth`.
Handlers parse, ask the service once, and shape the answer; they decide nothing. Errors become HTTP in `problems`.
Called by `app`, which hands in the control side as a `Service`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import hdrs, web

from sidecar.admin import answers, bodies, problems
from sidecar.admin.auth import SECURITY_HEADERS, Access, AuthToken, Caller, Need, same_site
from sidecar.admin.dashboard import Dashboard, static_file
from sidecar.admin.live import EventStreams
from sidecar.admin.service import Service
from sidecar.admin.webhook import no_webhook
from sidecar.errors import Invalid

_CALLER = web.RequestKey("caller", Caller)
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_AUDIT_LIMIT = 1000


class AdminRoute(NamedTuple):
    """One line of the table. `anyhost` routes answer probes, which come with the machine's address as Host."""

    method: str
    path: str
    need: Need
    handler: problems.Handler
    anyhost: bool = False


def build_app(
    service: Service,
    *,
    tokens: Sequence[AuthToken],
    metrics_text: Callable[[], bytes],
    metrics_open: bool,
    listen_host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    clock: Callable[[], float] = time.time,
    webhook: problems.Handler = no_webhook,
) -> web.Application:
    """The whole admin application.

    Args:
        service: the control side.
        tokens: none means open to everybody, which the settings allow on loopback only.
        metrics_text: the metrics page's bytes in Prometheus' text format.
        metrics_open: whether `/metrics` needs no token.
        listen_host: where the listener is bound; with `allowed_hosts` the names that a Host header may have.
        allowed_hosts: further names, without port.
        clock: seconds since the epoch.
        webhook: takes the registry's word; without one it is refused.
    """
    access = Access(tokens, listen_host, allowed_hosts)
    streams = EventStreams(service.events)
    handlers = Handlers(service, metrics_text, Dashboard(service, clock), access, clock)
    app = web.Application(middlewares=[problems.problems], client_max_size=bodies.OUTCOMES_BYTES)
    for route in routes(handlers, streams, metrics_open=metrics_open, webhook=webhook):
        guarded = _guarded(access, route)
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, guarded, allow_head=route.path != "/v1/events")
        else:
            app.router.add_route(route.method, route.path, guarded)
    app.on_response_prepare.append(_secure)
    app.on_shutdown.append(lambda _: streams.close())
    return app


def routes(
    handlers: Handlers, streams: EventStreams, *, metrics_open: bool, webhook: problems.Handler = no_webhook
) -> tuple[AdminRoute, ...]:
    """The table: method, path, lowest role, handler."""
    metrics: Need = "anyone" if metrics_open else "viewer"
    one = "/v1/deployments/{deployment}"
    return (
        AdminRoute("GET", "/healthz", "anyone", handlers.healthz, anyhost=True),
        AdminRoute("GET", "/readyz", "anyone", handlers.readyz, anyhost=True),
        AdminRoute("GET", "/metrics", metrics, handlers.metrics),
        AdminRoute("GET", "/", "anyone", handlers.page),
        AdminRoute("GET", "/static/{file}", "anyone", handlers.static),
        AdminRoute("GET", "/fragment", "viewer", handlers.fragment),
        AdminRoute("GET", "/v1/deployments", "viewer", handlers.deployments),
        AdminRoute("GET", one, "viewer", handlers.deployment),
        AdminRoute("GET", f"{one}/comparison", "viewer", handlers.comparison),
        AdminRoute("GET", f"{one}/drift", "viewer", handlers.drift),
        AdminRoute("GET", f"{one}/gates", "viewer", handlers.gates),
        AdminRoute("GET", f"{one}/champion", "viewer", handlers.champion),
        AdminRoute("GET", f"{one}/performance", "viewer", handlers.performance),
        AdminRoute("POST", f"{one}/promote", "operator", handlers.promote),
        AdminRoute("POST", f"{one}/rollback", "operator", handlers.rollback),
        AdminRoute("PUT", f"{one}/challengers/{{version}}", "operator", handlers.set_challenger),
        AdminRoute("DELETE", f"{one}/challengers/{{version}}", "operator", handlers.remove_challenger),
        AdminRoute("POST", f"{one}/shadow", "operator", handlers.switch_shadow),
        AdminRoute("POST", f"{one}/registry/reconcile", "operator", handlers.reconcile),
        AdminRoute("POST", "/v1/registry/webhook", "anyone", webhook, anyhost=True),
        AdminRoute("GET", "/v1/decisions/{request_id}", "viewer", handlers.decision),
        AdminRoute("POST", "/v1/outcomes", "reporter", handlers.outcomes),
        AdminRoute("GET", "/v1/alarms", "viewer", handlers.alarms),
        AdminRoute("POST", "/v1/alarms/{alarm}/acknowledge", "operator", handlers.acknowledge),
        AdminRoute("GET", "/v1/audit", "viewer", handlers.audit),
        AdminRoute("GET", "/v1/audit/verify", "viewer", handlers.verify),
        AdminRoute("GET", "/v1/events", "viewer", streams.serve),
    )


class Handlers:
    """One method per line of the table."""

    def __init__(
        self,
        service: Service,
        metrics_text: Callable[[], bytes],
        dashboard: Dashboard,
        access: Access,
        clock: Callable[[], float],
    ) -> None:
        self._service = service
        self._metrics_text = metrics_text
        self._dashboard = dashboard
        self._access = access
        self._clock = clock

    async def healthz(self, _: web.Request) -> web.Response:
        """The process is alive: answering is the proof."""
        return _json({"status": "alive"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Traffic may come."""
        says = self._service.waits()
        if says is not None:
            return problems.problem(503, says, kind="not-ready")
        return _json({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        """What Prometheus scrapes."""
        return web.Response(body=self._metrics_text(), headers={"Content-Type": _METRICS_TYPE})

    async def page(self, request: web.Request) -> web.Response:
        """The dashboard. Without a token where one is needed: the frame, which asks for it."""
        caller = self._access.caller(request.headers.get("Authorization"))
        known = caller if caller is not None and caller.may("viewer") else None
        return _html(await self._dashboard.page(known, asks=self._access.closed))

    async def fragment(self, request: web.Request) -> web.Response:
        """The dashboard's moving part."""
        return _html(await self._dashboard.fragment(request[_CALLER]))

    async def static(self, request: web.Request) -> web.Response:
        """Style, script and icon."""
        file = static_file(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.content_type})

    async def deployments(self, request: web.Request) -> web.Response:
        """Every deployment."""
        bodies.query(request)
        return _json(answers.deployments(self._service.deployments(), self._service.waits()))

    async def deployment(self, request: web.Request) -> web.Response:
        """One deployment."""
        bodies.query(request)
        return _json(answers.deployment(self._service.deployment(_deployment(request))))

    async def comparison(self, request: web.Request) -> web.Response:
        """Challenger beside champion."""
        name, challenger = _deployment(request), bodies.query(request, "challenger").get("challenger")
        report = self._service.comparison(name, challenger)
        status = self._service.deployment(name)
        sole = status.challengers[0].version if len(status.challengers) == 1 else None
        return _json(answers.comparison(report, status.champion.version, challenger or sole))

    async def drift(self, request: web.Request) -> web.Response:
        """Live inputs against the baseline."""
        match bodies.query(request, "against").get("against", "training"):
            case "training" | "recent" as against:
                return _json(answers.drift(self._service.drift(_deployment(request), against)))
            case _:
                raise Invalid("against is training or recent.")

    async def gates(self, request: web.Request) -> web.Response:
        """May the challenger take over."""
        challenger = bodies.query(request, "challenger").get("challenger")
        return _json(answers.gates(self._service.gates(_deployment(request), challenger)))

    async def champion(self, request: web.Request) -> web.Response:
        """Which version answered at a moment."""
        at = bodies.moment(bodies.query(request, "at"), "at")
        return _json(answers.champion_span(await self._service.champion_at(_deployment(request), at)))

    async def performance(self, request: web.Request) -> web.Response:
        """Quality per version."""
        bodies.query(request)
        return _json(answers.performance(self._service.performance(_deployment(request))))

    async def promote(self, request: web.Request) -> web.Response:
        """Through the gates."""
        body = await bodies.read_body(request, bodies.Promote)
        done = await self._service.promote(
            _deployment(request),
            body.challenger,
            actor=request[_CALLER].name,
            reason=body.reason,
            expected_champion=body.expected_champion,
            evidence=body.evidence,
            dry_run=body.dry_run,
            force=body.force,
            idempotency_key=bodies.idempotency_key(request),
        )
        return _json(done)

    async def rollback(self, request: web.Request) -> web.Response:
        """Back, without gates."""
        body = await bodies.read_body(request, bodies.Rollback)
        done = await self._service.rollback(
            _deployment(request),
            actor=request[_CALLER].name,
            reason=body.reason,
            to=body.to,
            force=body.force,
            idempotency_key=bodies.idempotency_key(request),
        )
        return _json(done)

    async def set_challenger(self, request: web.Request) -> web.Response:
        """Adds or changes."""
        body = await bodies.read_challenger(request)
        version = request.match_info["version"]
        done = await self._service.set_challenger(
            _deployment(request), version, body.settings, actor=request[_CALLER].name, reason=body.reason
        )
        return _json(done)

    async def remove_challenger(self, request: web.Request) -> web.Response:
        """Removes."""
        body = await bodies.read_removal(request)
        version = request.match_info["version"]
        done = await self._service.remove_challenger(
            _deployment(request), version, actor=request[_CALLER].name, reason=body.reason
        )
        return _json(done)

    async def switch_shadow(self, request: web.Request) -> web.Response:
        """The kill switch."""
        body = await bodies.read_body(request, bodies.SwitchShadow)
        done = await self._service.switch_shadow(
            _deployment(request), enabled=body.enabled, actor=request[_CALLER].name, reason=body.reason
        )
        return _json(done)

    async def reconcile(self, request: web.Request) -> web.Response:
        """The registry's alias, put where we are."""
        body = await bodies.read_body(request, bodies.Reconcile)
        done = await self._service.reconcile(
            _deployment(request),
            take=body.take,
            expected=body.expected,
            actor=request[_CALLER].name,
            reason=body.reason,
        )
        return _json(done)

    async def decision(self, request: web.Request) -> web.Response:
        """What was answered to one request."""
        bodies.query(request)
        return _json(answers.decision(await self._service.decision(request.match_info["request_id"])))

    async def outcomes(self, request: web.Request) -> web.Response:
        """Late truths."""
        body = await bodies.read_body(request, bodies.PostedOutcomes, bodies.OUTCOMES_BYTES)
        now = self._clock()
        return _json(await self._service.outcomes([posted.outcome_at(now) for posted in body.outcomes]))

    async def alarms(self, request: web.Request) -> web.Response:
        """Open alarms first."""
        bodies.query(request)
        return _json({"items": [answers.alarm(alarm) for alarm in self._service.alarms()]})

    async def acknowledge(self, request: web.Request) -> web.Response:
        """A person has seen it."""
        body = await bodies.read_body(request, bodies.Acknowledge)
        actor = request[_CALLER].name
        alarm = await self._service.acknowledge(request.match_info["alarm"], actor=actor, reason=body.reason)
        return _json(answers.alarm(alarm))

    async def audit(self, request: web.Request) -> web.Response:
        """The trail, oldest first."""
        values = bodies.query(request, "after", "limit")
        after = bodies.whole(values, "after", 0, 0, 10**15)
        entries = await self._service.audit(after, bodies.whole(values, "limit", 100, 1, _AUDIT_LIMIT))
        return _json({"entries": [answers.audit_entry(entry) for entry in entries]})

    async def verify(self, request: web.Request) -> web.Response:
        """Whether the trail is whole."""
        bodies.query(request)
        return _json(await self._service.verify_audit())


def _guarded(access: Access, route: AdminRoute) -> problems.Handler:
    """The checks that stand before one handler."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if not route.anyhost and not access.host_allowed(request.headers):
            return problems.problem(403, "This Host name is not one of this listener's own.", kind="host")
        if request.method not in ("GET", "HEAD") and not same_site(request.headers):
            return problems.problem(403, "Calls from other sites' pages change nothing here.", kind="cross-site")
        if route.need != "anyone":
            caller = access.caller(request.headers.get("Authorization"))
            if caller is None:
                answer = problems.problem(401, "Send a token that is configured here: Authorization: Bearer …")
                answer.headers["WWW-Authenticate"] = 'Bearer realm="sidecar"'
                return answer
            if not caller.may(route.need):
                return problems.problem(
                    403, f"{caller.name} has the role {caller.role}; this call needs {route.need}.", kind="role"
                )
            request[_CALLER] = caller
        return await route.handler(request)

    return checked


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "sidecar"


def _deployment(request: web.Request) -> str:
    return request.match_info["deployment"]


def _json(answer: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _html(text: str) -> web.Response:
    return web.Response(body=text.encode(errors="replace"), content_type="text/html", charset="utf-8")
