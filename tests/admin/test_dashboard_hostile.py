from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from sidecar.admin.api import build_app
from sidecar.admin.auth import auth_token
from tests.admin.fake_service import FakeService
from tests.admin.screens_shown import SCREENS, screen

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 191 }}{% raw %}",
    "</title></svg><style>*{display:none}</style>",
    "\u202e\x00<b>",
]


@pytest.mark.parametrize("which", SCREENS)
@pytest.mark.parametrize("attack", ATTACKS)
async def test_hostile_texts_are_shown_and_never_become_markup(attack: str, which: str) -> None:
    calm, hostile = (
        await screen(FakeService(broke=True), which),
        await screen(FakeService(broke=True, text=attack), which),
    )
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.tags] == [
        (tag, sorted(attributes)) for tag, attributes in calm.tags
    ]
    assert "1337" not in hostile.text


@pytest.mark.parametrize("which", SCREENS)
@pytest.mark.parametrize("attack", [*ATTACKS, "../..", "a/b?c#d"])
async def test_a_hostile_deployment_name_is_shown_and_never_becomes_markup(attack: str, which: str) -> None:
    page, calm = await screen(FakeService(name=attack), which), await screen(FakeService(), which)
    more = Counter(tag for tag, _ in page.tags) - Counter(tag for tag, _ in calm.tags)
    assert set(more) <= {"a", "span"}, "the fake record knows one name only"
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(
        re.match(r"(/|/audit.*|#main|/deployments/[^/?#]+([/?].*)?|/static/.*|/v1/.*)$", link) for link in page.links()
    )


@pytest.mark.parametrize("which", SCREENS)
async def test_nothing_inline_and_no_other_host(which: str) -> None:
    page = await screen(FakeService(broke=True), which)
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "style"
        for name in ("src", "href", "action"):
            assert re.match(r"[/#](?!/)", attributes.get(name) or "/")
        if tag == "script":
            assert attributes["src"] == "/static/dashboard.js"


async def test_without_a_token_the_page_is_a_frame_that_asks(aiohttp_client: Any) -> None:
    app = build_app(
        FakeService(broke=True), tokens=[auth_token("vera", "viewer", "s")], metrics_text=bytes, metrics_open=True
    )
    client = await aiohttp_client(app)
    for path in ("/", "/audit", "/deployments/fraud", "/deployments/nix", "/deployments/fraud/rollback"):
        answer = await client.get(path)
        frame = await answer.text()
        assert answer.status == 200
        assert "data-asks" in frame
        assert not {"fraud", "amount", "alice"} & set(re.findall(r"\w+", frame.replace("/deployments/fraud", "")))
        assert "data-frame" not in await (await client.get(path, headers={"Authorization": "Bearer s"})).text()
