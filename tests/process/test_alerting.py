"""A sidecar, Prometheus and Alertmanager as they ship: a model that fails reaches the webhook of whoever is on call.

A minute of the rules is a second here; nothing else of them is changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerting.alerting_programs import RULES, Listening, asked, free_address, running
from tests.process.whole_sidecar import Callers, Make, Model, Sidecar, until

ALERTS_S = 120.0


def shortened(text: str) -> str:
    """The same rules with seconds for minutes: windows, and how long something must hold."""
    text = re.sub(r"\[(\d+)m\]", r"[\g<1>s]", text.replace("[1h]", "[60m]"))
    return re.sub(r"for: (\d+)m\b", r"for: \1s", text.replace("for: 1h", "for: 60m"))


@pytest.fixture
def on_call() -> Iterator[Listening]:
    with closing(Listening()) as listening:
        yield listening


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stage(tmp_path: Path, ends: ExitStack, on_call: Listening) -> Callable[..., str]:
    """Starts both programs on a sidecar and answers Prometheus' address; their files are the shipped ones."""
    folder = tmp_path / "alerting"
    folder.mkdir()
    (folder / "rules.yaml").write_text(shortened((RULES / "rules.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    addresses = {"prometheus": free_address(), "alertmanager": free_address()}

    def start(sidecar: Sidecar) -> str:
        routes: dict[str, Any] = yaml.safe_load((RULES / "alertmanager.yaml").read_text(encoding="utf-8"))
        for route in (routes["route"], *routes["route"]["routes"]):
            route |= {"group_wait": "0s", "group_interval": "1s"}
        for receiver in routes["receivers"]:
            for hook in receiver["webhook_configs"]:
                hook["url"] = hook["url"].replace("127.0.0.1:9000", on_call.address)
        (folder / "alertmanager.yaml").write_text(yaml.safe_dump(routes), encoding="utf-8")
        scraping: dict[str, Any] = yaml.safe_load((RULES / "prometheus.yaml").read_text(encoding="utf-8"))
        scraping["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        target = sidecar.admin.removeprefix("http://")
        scraping["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        scraping["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [addresses["alertmanager"]]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(scraping), encoding="utf-8")
        ends.enter_context(
            running(
                folder, "prometheus-alertmanager", addresses["alertmanager"], "--config.file=alertmanager.yaml",
                "--storage.path=heard", "--cluster.listen-address=",
            )
        )  # fmt: skip
        ends.enter_context(
            running(
                folder, "prometheus", addresses["prometheus"], "--config.file=prometheus.yaml",
                "--storage.tsdb.path=seen",
            )
        )  # fmt: skip
        return addresses["prometheus"]

    return start


def rules_of(prometheus: str) -> list[dict[str, Any]]:
    found = asked(prometheus, "/api/v1/rules")
    return [rule for group in found["data"]["groups"] for rule in group["rules"]] if found else []


def test_a_champion_that_fails_pages_and_is_taken_back_when_it_is_well(
    make: Make, settings: dict[str, Any], stage: Callable[..., str], on_call: Listening, ends: ExitStack
) -> None:
    champion = ends.enter_context(closing(Model("3")))
    settings["deployments"][0]["champion"]["url"] = champion.url
    sidecar = make(deployments=settings["deployments"]).start()
    with Callers(sidecar.data) as callers:
        callers.more(50)
        prometheus = stage(sidecar)
        until("every rule was evaluated", lambda: all(r["health"] == "ok" for r in rules_of(prometheus)), ALERTS_S)
        assert on_call.names("/page", "firing") == set()

        champion.fails.set()
        until("a page", lambda: "SidecarChampionFailing" in on_call.names("/page", "firing"), ALERTS_S)
        paged = [(labels, says) for path, _, labels, says in on_call.heard if path == "/page"]
        assert {(labels["deployment"], labels["severity"]) for labels, _ in paged} == {("fraud", "page")}
        assert paged[0][1]["summary"].startswith("fraud: ")
        assert all(rule["health"] == "ok" for rule in rules_of(prometheus))

        champion.fails.clear()
        until("taken back", lambda: "SidecarChampionFailing" in on_call.names("/page", "resolved"), ALERTS_S)


def test_a_sidecar_that_is_gone_pages(sidecar: Sidecar, stage: Callable[..., str], on_call: Listening) -> None:
    stage(sidecar)
    sidecar.stop()

    until("a page", lambda: "SidecarNotScraped" in on_call.names("/page", "firing"), ALERTS_S)
