from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.admin.api import build_app
from sidecar.admin.dashboard import Dashboard, static_file
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService
from tests.admin.html_page import Page
from tests.admin.screens_shown import ADMIN


async def test_the_trail_is_verified_at_most_once_a_minute_and_shows_what_came_since() -> None:
    service = FakeService(broke=True)
    now = NOW
    dashboard = Dashboard(service, lambda: now)
    first = await dashboard.overview(ADMIN)
    assert "the feed team is on it" in first  # the third entry, though the check counted two
    now += 59
    await dashboard.overview(ADMIN)
    assert service.verified == 1
    now += 1
    await dashboard.overview(ADMIN)
    assert service.verified == 2
    await dashboard.trail(ADMIN, None, verify=True)
    assert service.verified == 3, "a person asked"


async def test_a_long_trail_is_turned_page_by_page() -> None:
    class Long(FakeService):
        async def audit(self, after: int, limit: int) -> tuple[Any, ...]:
            first = (await super().audit(0, 1))[0]
            last = min(130, after + limit)
            return tuple(
                msgspec.structs.replace(first, seq=seq, reason=f"r{seq}.") for seq in range(after + 1, last + 1)
            )

    dashboard = Dashboard(Long(), lambda: NOW)
    newest = Page(await dashboard.trail(ADMIN, None, verify=False))
    assert "r130." in newest.text
    assert "r81." in newest.text
    assert "r80." not in newest.text
    assert "/audit?before=81" in newest.links()
    oldest = Page(await dashboard.trail(ADMIN, 31, verify=False))
    assert "r30." in oldest.text
    assert "r1." in oldest.text
    assert "r31." not in oldest.text


@pytest.mark.parametrize("name", ["api.py", "../api.py", "", "dashboard.css/..", "page.html.j2"])
def test_only_the_pages_own_files_are_served(name: str) -> None:
    assert static_file(name) is None


async def test_a_static_file_that_did_not_change_is_not_sent_again(aiohttp_client: Any) -> None:
    app = build_app(FakeService(), tokens=(), metrics_text=bytes, metrics_open=True)
    client = await aiohttp_client(app)
    first = await client.get("/static/dashboard.css")
    again = await client.get("/static/dashboard.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, await again.read()) == (200, 304, b"")
