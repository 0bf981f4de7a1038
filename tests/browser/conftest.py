"""A real Chromium and a dashboard for it; where there is no browser the tests fail and say how to get one."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

from sidecar.admin.api import build_app
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PATIENCE_MS = 60_000.0
expect.set_options(timeout=PATIENCE_MS)
Open = Callable[..., Page]
Serve = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser that SIDECAR_BROWSER names, one on the path, or Playwright's own."""
    found = os.environ.get("SIDECAR_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        program = found or playwright.chromium.executable_path
        if not os.path.exists(program):  # noqa: PTH110 -- a path of Playwright's
            pytest.fail("There is no Chromium here: `apt-get install chromium`, or `playwright install chromium`.")
        arguments = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox refuses root
        launched = playwright.chromium.launch(executable_path=program, args=arguments, timeout=PATIENCE_MS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens an address in a context of its own; a fault on the page's console fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def refuse(dialog: Dialog) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    def opened(url: str, *, faulty: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        if not faulty:
            page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", refuse)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves the admin application over a fake control side, in a thread; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runners: list[web.AppRunner] = []

    async def start(service: FakeService, **options: Any) -> str:
        given: dict[str, Any] = {"tokens": [], "metrics_text": bytes, "metrics_open": True, "clock": lambda: NOW}
        runner = web.AppRunner(build_app(service, **{**given, **options}), shutdown_timeout=1.0)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    def serving(service: FakeService, **options: Any) -> str:
        return asyncio.run_coroutine_threadsafe(start(service, **options), loop).result(60)

    yield serving
    asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
