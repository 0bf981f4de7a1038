"""The admin API over a fake service, and callers by their role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestClient

from sidecar.admin.auth import Role, auth_token

Client = TestClient[web.Request, web.Application]
Serve = Callable[..., Awaitable[Client]]
ROLES: tuple[Role, ...] = ("viewer", "reporter", "operator", "admin")
TOKENS = [auth_token(f"{role}-person", role, f"secret-{role}") for role in ROLES]


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer secret-{role}"}


# The one deployment of the fake service, and what promotes its challenger.
D = "/v1/deployments/fraud"
PROMOTE = {"challenger": "4", "reason": "better"}
