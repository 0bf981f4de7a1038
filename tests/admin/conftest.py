"""The admin API over a fake service, on a port of its own for each test."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from sidecar.admin.api import build_app
from tests.admin.api_ground import Client, Serve
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService


@pytest.fixture
async def serve(aiohttp_client: Any) -> Serve:
    async def start(service: FakeService, **options: Any) -> Client:
        defaults: dict[str, Any] = {"tokens": [], "metrics_text": lambda: b"up 1\n", "metrics_open": True}
        app = build_app(service, **{**defaults, "clock": lambda: NOW, **options})
        client: Client = await aiohttp_client(TestServer(app))
        return client

    return start
