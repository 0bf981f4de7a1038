"""How the peers are configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import envoy, nginx


def route(configured: str) -> dict[str, Any]:
    listener = json.loads(configured)["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found: dict[str, Any] = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    return found


def clusters(configured: str) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(configured)["static_resources"]["clusters"]}


def test_envoy_without_a_challenger_only_forwards() -> None:
    configured = envoy.configuration(1, 2, None)
    assert route(configured) == {"cluster": "champion"}
    assert list(clusters(configured)) == ["champion"]


def test_envoy_mirrors_at_its_default_breaker_unless_that_is_raised() -> None:
    usual, raised = envoy.configuration(1, 2, 3), envoy.configuration(1, 2, 3, envoy.RAISED)
    assert route(usual)["request_mirror_policies"] == [{"cluster": "challenger"}]
    assert "circuit_breakers" not in clusters(usual)["challenger"]
    thresholds = clusters(raised)["challenger"]["circuit_breakers"]["thresholds"][0]
    assert set(thresholds.values()) == {envoy.RAISED}
    assert "circuit_breakers" not in clusters(raised)["champion"]


def test_nginx_keeps_the_challengers_connection_only_when_it_stores_the_answer() -> None:
    documented, kept = nginx.mirroring(1, None), nginx.mirroring(1, Path("/memory"))
    assert "mirror /mirror;" in documented
    assert "proxy_store" not in documented
    assert "proxy_store /memory/answer;" in kept


def test_nginx_writes_nothing_outside_its_folder() -> None:
    configured = nginx.configuration(Path("/folder"), [])
    paths = [word for word in configured.replace(";", "").split() if word.startswith("/")]
    assert paths
    assert all(path.startswith("/folder/") for path in paths)
