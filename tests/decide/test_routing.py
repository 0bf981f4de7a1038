from __future__ import annotations

from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.decide.routing import routing_table
from sidecar.decide.routing_table import RoutingTable
from sidecar.standing import DeploymentState, Target

FRAUD: dict[str, Any] = {
    "name": "fraud",
    "champion": {"version": "3", "url": "http://a:3", "path": "/three"},
    "challengers": [{"version": "4", "url": "unix:/m.sock", "fraction": 0.5, "timeout_s": 2.0, "max_inflight": 7}],
}


def made(*deployments: dict[str, Any], states: dict[str, DeploymentState] | None = None, **more: Any) -> RoutingTable:
    settings = Settings.model_validate({"deployments": list(deployments), **more})
    stored = {
        d.name: DeploymentState(
            deployment=d.name,
            generation=1,
            champion=d.champion.version,
            champion_target=Target(d.champion.url, d.champion.path),
            champion_since=0.0,
        )
        for d in settings.deployments
    }
    return routing_table(settings, stored | (states or {}), 5)


def test_the_configured_champion_answers_and_its_challengers_get_copies() -> None:
    (route,) = made(FRAUD).routes
    assert (route.match, route.prefix) == ("/v2/models/fraud/infer", False)
    assert (route.champion.version, route.champion.host, route.champion.port, route.champion.path) == (
        "3", "a", 3, "/three"
    )  # fmt: skip
    (shadow,) = route.shadows
    assert (shadow.to.version, shadow.to.unix) == ("4", "/m.sock")
    assert (shadow.fraction, shadow.timeout_s, shadow.max_inflight, shadow.enabled) == (0.5, 2.0, 7, True)


def test_the_stored_champion_beats_the_configured_one_which_then_shadows() -> None:
    promoted = DeploymentState(
        deployment="fraud", generation=2, champion="4", champion_target=Target("unix:/m.sock"), champion_since=1.0,
        previous="3", previous_target=Target("http://a:3", "/three"),
    )  # fmt: skip
    (route,) = made(FRAUD, states={"fraud": promoted}).routes
    assert (route.champion.version, route.generation) == ("4", 2)
    assert [(shadow.to.version, shadow.fraction) for shadow in route.shadows] == [("3", 1.0)]


def test_a_former_champion_that_the_settings_forgot_goes_on_scoring() -> None:
    promoted = DeploymentState(
        deployment="fraud", generation=2, champion="3", champion_target=Target("http://a:3"), champion_since=1.0,
        previous="2", previous_target=Target("http://a:2"),
    )  # fmt: skip
    (route,) = made(FRAUD, states={"fraud": promoted}).routes
    assert sorted(shadow.to.version for shadow in route.shadows) == ["2", "4"]


@pytest.mark.parametrize(
    ("count", "upstream", "expected"), [(1, None, ("a", 3)), (2, None, None), (2, "http://u:9", ("u", 9))]
)
def test_requests_that_match_nothing_go_to_the_upstream_or_a_sole_champion(
    count: int, upstream: str | None, expected: tuple[str, int] | None
) -> None:
    deployments = [{**FRAUD, "name": f"d{number}"} for number in range(count)]
    table = made(*deployments, upstream=upstream)
    found = table.upstream
    assert ((found.host, found.port) if found else None) == expected
    assert found is None or (found.version, found.path) == ("", None)


def test_a_match_that_ends_in_a_star_is_a_prefix() -> None:
    (route,) = made({**FRAUD, "match": {"path": "/v2/*"}}).routes
    assert (route.match, route.prefix) == ("/v2/", True)


def test_bounds_and_serial_are_carried() -> None:
    table = made(FRAUD, limits={"headers": 9}, timeouts={"answer_s": 1.5})
    assert (table.serial, table.bounds.headers, table.bounds.answer_s) == (5, 9, 1.5)
