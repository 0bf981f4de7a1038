"""The admin API: every route with its method, path, lowest role and handler, in one table.

Keeps: a route exists only through the table, and no handler runs before the Host, cross-site and role checks of `auth`.
Does not: parse, ask or answer (the handlers do, by area: `screens`, `questions`, `verbs`); errors become HTTP in
`problems`. Called by `app`, which hands in the control side as a `Service`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp import hdrs, web

from sidecar.admin import bodies, problems
from sidecar.admin.api_document import ApiDocument
from sidecar.admin.auth import SECURITY_HEADERS, Access, AuthToken, Caller, Need, same_site
from sidecar.admin.call import CALLER
from sidecar.admin.dashboard import Dashboard
from sidecar.admin.ingest import Ingesting
from sidecar.admin.live import EventStreams
from sidecar.admin.pages import Pages
from sidecar.admin.questions import Questions
from sidecar.admin.record import RecordHandlers
from sidecar.admin.screens import Screens
from sidecar.admin.service import Service
from sidecar.admin.verbs import Verbs
from sidecar.admin.webhook import no_webhook
from sidecar.config_admin import ClientCertificate

ACCESS = web.AppKey("access", Access)


_NOBODY = "Send a token that is configured here: Authorization: Bearer …"
_NOBODYS = "The certificate that was shown is of nobody whom admin.clients names, or has expired; or send a token."


class AdminRoute(NamedTuple):
    """One line of the table. `anyhost` routes answer probes, which come with the machine's address as Host."""

    method: str
    path: str
    need: Need
    handler: problems.Handler
    anyhost: bool = False


class Handlers:
    """All handlers, by area."""

    def __init__(
        self,
        service: Service,
        metrics_text: Callable[[], bytes],
        dashboard: Dashboard,
        access: Access,
        clock: Callable[[], float],
    ) -> None:
        self.pages = Pages(service, metrics_text)
        self.screens = Screens(service, dashboard, access)
        self.questions = Questions(service)
        self.verbs = Verbs(service, clock)
        self.ingesting = Ingesting(service)
        self.record = RecordHandlers(service.record)
        self.openapi = ApiDocument()


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
    identity: Callable[[str], Caller | None] | None = None,
    clients: Sequence[ClientCertificate] = (),
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
        identity: who holds a signed token; without one there are none.
        clients: who is told by a certificate that the listener has verified.
    """
    access = Access(tokens, listen_host, allowed_hosts, identity=identity, clients=clients, wall_clock=clock)
    streams = EventStreams(service.events)
    dashboard = Dashboard(service, clock, asks=access.closed)
    handlers = Handlers(service, metrics_text, dashboard, access, clock)
    app = web.Application(middlewares=[problems.problems], client_max_size=bodies.OUTCOMES_BYTES)
    table = routes(handlers, streams, metrics_open=metrics_open, webhook=webhook)
    handlers.openapi.describe((route.method, route.path, route.need) for route in table)
    for route in table:
        guarded = _guarded(access, route)
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, guarded, allow_head=route.path != "/v1/events")
        else:
            app.router.add_route(route.method, route.path, guarded)
    app[ACCESS] = access
    app.on_response_prepare.append(_secure)
    app.on_shutdown.append(lambda _: streams.close())
    app.cleanup_ctx.append(lambda _: dashboard.tracks.following())
    return app


def routes(
    handlers: Handlers, streams: EventStreams, *, metrics_open: bool, webhook: problems.Handler = no_webhook
) -> tuple[AdminRoute, ...]:
    """The table: method, path, lowest role, handler."""
    metrics: Need = "anyone" if metrics_open else "viewer"
    one, screen = "/v1/deployments/{deployment}", "/deployments/{deployment}"
    pages, asked, done, record = handlers.pages, handlers.questions, handlers.verbs, handlers.record
    screens = handlers.screens
    return (
        AdminRoute("GET", "/healthz", "anyone", pages.healthz, anyhost=True),
        AdminRoute("GET", "/readyz", "anyone", pages.readyz, anyhost=True),
        AdminRoute("GET", "/metrics", metrics, pages.metrics),
        AdminRoute("GET", "/static/{file}", "anyone", screens.static),
        AdminRoute("GET", "/", "anyone", screens.overview),
        AdminRoute("GET", "/audit", "anyone", screens.trail),
        AdminRoute("GET", screen, "anyone", screens.deployment),
        AdminRoute("GET", f"{screen}/challengers/{{version}}", "anyone", screens.challenger),
        AdminRoute("GET", f"{screen}/inputs", "anyone", screens.inputs),
        AdminRoute("GET", f"{screen}/outcomes", "anyone", screens.outcomes),
        AdminRoute("GET", f"{screen}/{{verb}}", "anyone", screens.ask),
        AdminRoute("POST", f"{screen}/override", "admin", screens.override),
        AdminRoute("POST", f"{screen}/{{verb}}", "operator", screens.act),
        AdminRoute("GET", "/v1/openapi.json", "anyone", handlers.openapi.answer),
        AdminRoute("GET", "/v1/deployments", "viewer", asked.deployments),
        AdminRoute("GET", one, "viewer", asked.deployment),
        AdminRoute("GET", f"{one}/comparison", "viewer", asked.comparison),
        AdminRoute("GET", f"{one}/drift", "viewer", asked.drift),
        AdminRoute("POST", f"{one}/drift/reference", "operator", done.freeze_reference),
        AdminRoute("GET", f"{one}/features", "viewer", asked.features),
        AdminRoute("POST", f"{one}/features", "reporter", done.features),
        AdminRoute("GET", f"{one}/gates", "viewer", asked.gates),
        AdminRoute("GET", f"{one}/gates/rehearsal", "viewer", record.rehearsal),
        AdminRoute("POST", f"{one}/gates/rehearsal", "viewer", record.rehearse),
        AdminRoute("GET", f"{one}/champion", "viewer", asked.champion),
        AdminRoute("GET", f"{one}/performance", "viewer", asked.performance),
        AdminRoute("GET", f"{one}/label-queue", "viewer", asked.label_queue),
        AdminRoute("GET", f"{one}/transitions", "viewer", record.transitions),
        AdminRoute("GET", f"{one}/transitions/{{seq}}/report", "viewer", record.report),
        AdminRoute("GET", f"{one}/cost", "viewer", record.cost),
        AdminRoute("POST", f"{one}/promote", "operator", done.promote),
        AdminRoute("POST", f"{one}/override", "admin", done.override),
        AdminRoute("GET", f"{one}/canary", "viewer", asked.canary),
        AdminRoute("POST", f"{one}/canary", "operator", done.canary),
        AdminRoute("GET", f"{one}/approvals", "viewer", asked.approvals),
        AdminRoute("POST", f"{one}/approvals", "operator", done.approve),
        AdminRoute("POST", f"{one}/hold", "operator", done.hold),
        AdminRoute("POST", f"{one}/rollback", "operator", done.rollback),
        AdminRoute("PUT", f"{one}/challengers/{{version}}", "operator", done.set_challenger),
        AdminRoute("DELETE", f"{one}/challengers/{{version}}", "operator", done.remove_challenger),
        AdminRoute("POST", f"{one}/shadow", "operator", done.switch_shadow),
        AdminRoute("POST", f"{one}/registry/reconcile", "operator", done.reconcile),
        AdminRoute("POST", "/v1/registry/webhook", "anyone", webhook, anyhost=True),
        AdminRoute("GET", "/v1/decisions/{request_id}", "viewer", asked.decision),
        AdminRoute("POST", "/v1/outcomes", "reporter", done.outcomes),
        AdminRoute("POST", "/v1/ingest", "reporter", handlers.ingesting.take),
        AdminRoute("GET", "/v1/alarms", "viewer", asked.alarms),
        AdminRoute("POST", "/v1/alarms/{alarm}/acknowledge", "operator", done.acknowledge),
        AdminRoute("GET", "/v1/audit", "viewer", asked.audit),
        AdminRoute("GET", "/v1/audit/verify", "viewer", asked.verify),
        AdminRoute("POST", "/v1/audit/verify", "viewer", record.verify_against),
        AdminRoute("GET", "/v1/audit/head", "viewer", record.head),
        AdminRoute("GET", "/v1/events/dead-letters", "viewer", record.dead_letters),
        AdminRoute("POST", "/v1/events/dead-letters/{letter}/resend", "operator", record.send_again),
        AdminRoute("GET", "/v1/events", "viewer", streams.serve),
    )


def _guarded(access: Access, route: AdminRoute) -> problems.Handler:
    """The checks that stand before one handler."""

    async def checked(request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if not route.anyhost and not access.host_allowed(request.headers):
            access.refused["host"] += 1
            return problems.problem(403, "This Host name is not one of this listener's own.", kind="host")
        if request.method not in ("GET", "HEAD") and not same_site(request.headers):
            access.refused["cross_site"] += 1
            return problems.problem(403, "Calls from other sites' pages change nothing here.", kind="cross-site")
        if not route.anyhost and (wait_s := access.wait_s(authorization, request.remote)):
            access.refused["guesses"] += 1
            answer = problems.problem(429, "Too many unknown tokens came from there; wait.", kind="guesses")
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        if route.need != "anyone":
            shown = request.get_extra_info("peercert")
            caller = access.caller(authorization, request.remote, shown)
            if caller is None:
                access.refused["token"] += 1
                answer = problems.problem(401, _NOBODY if authorization is not None or not shown else _NOBODYS)
                answer.headers["WWW-Authenticate"] = 'Bearer realm="sidecar"'
                return answer
            if not caller.may(route.need):
                access.refused["role"] += 1
                return problems.problem(
                    403, f"{caller.name} has the role {caller.role}; this call needs {route.need}.", kind="role"
                )
            request[CALLER] = caller
        return await route.handler(request)

    return checked


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)  # a report's page allows itself less
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "sidecar"
