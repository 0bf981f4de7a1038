from __future__ import annotations

from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.decide.routing import routing_table
from sidecar.decide.routing_table import AccessLog, BreakerPolicy, Certificate, RoutingTable, Trust
from sidecar.standing import DeploymentState, Target, TargetTls

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
        if d.champion is not None
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


def test_a_deployment_without_a_state_is_refused_and_no_other_answers_in_its_place() -> None:
    unknown = {"name": "churn", "from_registry": {"managed": True}}
    table = made(FRAUD, unknown)

    assert [(route.deployment, route.unserved) for route in table.routes] == [("fraud", False), ("churn", True)]
    assert table.upstream is None
    (alone,) = made(unknown).routes
    assert (alone.unserved, alone.shadows, alone.match) == (True, (), "/v2/models/churn/infer")
    assert made(unknown).upstream is None


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


def test_a_challengers_bounds_are_carried() -> None:
    policy = {
        "version": "4", "url": "http://b:4", "copy_bytes": 1000, "max_per_s": 5, "ramp_s": 0,
        "breaker": {"failures": 2, "open_s": 1, "max_open_s": 9}, "headers": {"Host": "b.internal", "x-a": "1"},
    }  # fmt: skip
    (shadow,) = made(FRAUD | {"challengers": [policy]}).routes[0].shadows
    assert (shadow.copy_bytes, shadow.max_per_s, shadow.ramp_s) == (1000, 5.0, 0.0)
    assert shadow.breaker == BreakerPolicy(2, 1.0, 9.0)
    assert shadow.headers == (("Host", "b.internal"), ("x-a", "1"))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 4_194_304),
        ({"mirror_bytes": 40_000_000}, 10_000_000),
        ({"mirror_bytes": 1000, "mirror_body_bytes": 900}, 900),
    ],
)
def test_copies_of_a_challenger_may_hold_a_quarter_and_at_least_one_body(limits: dict[str, int], expected: int) -> None:
    (shadow,) = made(FRAUD, limits=limits).routes[0].shadows
    assert shadow.copy_bytes == expected


def test_a_challengers_own_share_is_never_above_the_whole() -> None:
    settings = Settings.model_validate(
        {"deployments": [FRAUD], "limits": {"mirror_bytes": 5000, "mirror_body_bytes": 1}}
    )
    (deployment,) = settings.deployments
    of_a_call = deployment.challengers[0].model_copy(update={"copy_bytes": 99_999})
    settings = settings.model_copy(
        update={"deployments": (deployment.model_copy(update={"challengers": (of_a_call,)}),)}
    )
    state = DeploymentState(
        deployment="fraud", generation=1, champion="3", champion_target=Target("http://a:3"), champion_since=0.0
    )
    assert routing_table(settings, {"fraud": state}, 1).routes[0].shadows[0].copy_bytes == 5000


def test_the_kill_switch_disables_every_shadow_of_its_deployment_alone() -> None:
    settings = Settings.model_validate({"deployments": [FRAUD, {**FRAUD, "name": "other"}]})
    states = {
        name: DeploymentState(
            deployment=name, generation=2, champion="4", champion_target=Target("unix:/m.sock"), champion_since=0.0,
            previous="2", previous_target=Target("http://a:2"),
        )
        for name in ("fraud", "other")
    }  # fmt: skip
    fraud, other = routing_table(settings, states, 1, {"fraud"}).routes
    assert [shadow.enabled for shadow in fraud.shadows] == [False, False]
    assert [shadow.enabled for shadow in other.shadows] == [True, True]


def test_what_routes_and_the_whole_table_say_beside_is_carried() -> None:
    table = made(
        {**FRAUD, "sticky": "X-User", "upgrades": True},
        upstream="http://u:9",
        upstream_upgrades=True,
        tls={"cert_file": "/c", "key_file": "/k", "client_ca_file": "/a"},
        access_log={"mode": "sampled", "fraction": 0.5, "path": "/log"},
        telemetry={"otlp_endpoint": "http://127.0.0.1:4318"},
        limits={"body_bytes_per_s": 7, "memory_bytes": 8},
    )
    assert (table.routes[0].sticky, table.routes[0].upgrades, table.upgrades) == ("x-user", True, True)
    assert table.certificate == Certificate("/c", "/k", "/a")
    assert table.access_log == AccessLog(0.5, "/log")
    assert table.trace
    assert (table.bounds.body_bytes_per_s, table.bounds.memory_bytes) == (7, 8)
    quiet = made(FRAUD)
    assert (quiet.certificate, quiet.access_log, quiet.trace, quiet.routes[0].sticky) == (None, AccessLog(), False, "")
    assert made(FRAUD, access_log={"mode": "full"}).access_log == AccessLog(1.0, "")
    assert made(FRAUD, access_log={"mode": False}).access_log == AccessLog(0.0, "")


@pytest.mark.parametrize(
    ("own", "general", "expected"),
    [
        ({}, {}, Trust()),
        ({}, {"ca_file": "/g", "cert_file": "/gc", "key_file": "/gk"}, Trust("/g", "/gc", "/gk")),
        ({"ca_file": "/o", "server_name": "four"}, {"ca_file": "/g"}, Trust("/o", server_name="four")),
        (
            {"cert_file": "/oc", "key_file": "/ok"},
            {"ca_file": "/g", "cert_file": "/gc", "key_file": "/gk"},
            Trust("/g", "/oc", "/ok"),
        ),
    ],
)
def test_a_version_is_verified_by_its_own_settings_and_else_by_those_for_all(
    own: dict[str, str], general: dict[str, str], expected: Trust
) -> None:
    four = {"version": "4", "url": "https://four:8443", "tls": own}
    (route,) = made(FRAUD | {"challengers": [four]}, upstream_tls=general).routes
    assert (route.shadows[0].to.trust, route.shadows[0].to.port) == (expected, 8443)
    assert route.champion.trust is None


def test_a_stored_champion_is_verified_as_when_it_was_promoted_though_the_settings_forgot_it() -> None:
    promoted = DeploymentState(
        deployment="fraud", generation=2, champion="9", champion_since=1.0,
        champion_target=Target("https://nine", None, TargetTls(ca_file="/nine.pem")),
    )  # fmt: skip
    (route,) = made(FRAUD, states={"fraud": promoted}).routes
    assert (route.champion.trust, route.champion.port) == (Trust("/nine.pem"), 443)


def test_tls_to_the_upstream_is_as_for_all() -> None:
    table = made(FRAUD, upstream="https://u", upstream_tls={"ca_file": "/g"})
    assert table.upstream is not None
    assert (table.upstream.trust, table.upstream.port) == (Trust("/g"), 443)
