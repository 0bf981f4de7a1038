"""The demo's whole story, played by a person at the dashboard: promote, see the feed break, roll back, verify."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Open

# SIDECAR_PICTURES names a folder for the pictures of the documentation.
PICTURES = os.environ.get("SIDECAR_PICTURES")


@pytest.fixture
def demo() -> Iterator[str]:
    """The dashboard's address of a demo that plays."""
    command = [sys.executable, "-m", "sidecar.cli", "demo", "--port", "0", "--admin-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield re.findall(r"http://\S+", said)[0].rstrip("/")
        process.terminate()
        process.stdout.read()


def picture(page: Page, name: str, *, whole: bool = False) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=whole, animations="disabled")


def test_a_person_plays_the_whole_story(demo: str, open_page: Open) -> None:
    # The demo breaks its promises for nobody: a copy that it ends takes its event stream with it.
    page = open_page(demo, faulty=True)
    expect(page.get_by_role("link", name="payments").first).to_be_visible()
    page.get_by_role("link", name="payments").first.click()
    ready = page.get_by_role("link", name="Promote 4 …")
    expect(ready).to_be_visible(timeout=2 * PATIENCE_MS)
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Version 4 may take over: every gate passes")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Latency of"))).to_be_visible()
    picture(page, "challenger", whole=True)
    page.get_by_role("link", name="Promote 4 …").click()
    page.get_by_label("Reason").fill("better on every outcome that is known")
    picture(page, "promote")
    page.get_by_role("button", name="Promote 4").click()
    expect(page.get_by_role("status").filter(has_text="Promoted: version 4")).to_be_visible()

    broken = page.get_by_role("heading", name=re.compile("^amount: live = 0.01 × trained"))
    expect(broken).to_be_visible(timeout=2 * PATIENCE_MS)
    expect(page.get_by_text(re.compile("^Fix the feed, do not retrain")).first).to_be_visible()
    picture(page, "deployment", whole=True)
    page.emulate_media(color_scheme="dark")
    picture(page, "deployment-dark")
    page.emulate_media(color_scheme="light")
    page.get_by_role("link", name="Roll back to 3 …").first.click()
    expect(page.get_by_role("heading", name="Roll back to version 3")).to_be_visible()
    page.get_by_label("Reason").fill("amount arrives in euros")
    page.get_by_role("button", name="Roll back to 3").click()
    expect(page.get_by_role("status").filter(has_text="Rolled back: version 3")).to_be_visible()

    page.get_by_role("link", name="Outcomes").click()
    expect(page.get_by_role("heading", name="Quality where the outcome is known")).to_be_visible()
    picture(page, "outcomes", whole=True)
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("link", name="Verify the whole trail now").click()
    expect(page.get_by_text(re.compile("entries verified, unbroken"))).to_be_visible()
    expect(page.get_by_role("cell", name=re.compile("amount arrives in euros"))).to_be_visible()
    picture(page, "audit")
    page.get_by_role("link", name="Sidecar").click()
    expect(page.get_by_role("link", name="payments").first).to_be_visible()
    picture(page, "overview")
