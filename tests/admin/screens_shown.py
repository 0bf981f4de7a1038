"""The dashboard's screens over a fake control side, as pages to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sidecar.admin.auth import Caller
from sidecar.admin.dashboard import Dashboard
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService
from tests.admin.html_page import Page

ADMIN = Caller("anonymous", "admin")
VIEWER = Caller("vera", "viewer")


async def screen(service: FakeService, which: str = "deployment", caller: Caller = ADMIN) -> Page:
    return Page(await html(service, which, caller))


async def html(service: FakeService, which: str, caller: Caller = ADMIN) -> str:
    dashboard, name = Dashboard(service, lambda: NOW), service.name
    screens: dict[str, Callable[[], Awaitable[str] | str]] = {
        "overview": lambda: dashboard.overview(caller),
        "deployment": lambda: dashboard.deployment(caller, name),
        "challenger": lambda: dashboard.challenger(caller, name, service.challenger),
        "inputs": lambda: dashboard.inputs(caller, name, "training", 0),
        "recent": lambda: dashboard.inputs(caller, name, "recent", 0),
        "feature": lambda: dashboard.feature(caller, name, "training", f"amount{service.text}"),
        "outcomes": lambda: dashboard.outcomes(caller, name),
        "audit": lambda: dashboard.trail(caller, None, verify=False),
    }
    page = screens[which]()
    return page if isinstance(page, str) else await page


SCREENS = ("overview", "deployment", "challenger", "inputs", "recent", "feature", "outcomes", "audit")
