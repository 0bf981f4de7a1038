"""What settings and the registry's aliases mean together: who answers, who scores, and what is waited for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from sidecar.config import Deployment
from sidecar.decide.resolved import Resolved, followed, moves, resolve, wanted
from sidecar.standing import DeploymentState, Target, TargetTls

ALIASES = {"champion": "3", "challenger": "4", "unknown": "9"}
BY_URL = Deployment.model_validate({"name": "fraud", "from_registry": {"url": "http://fraud-{version}:80"}})


def managed(**changes: Any) -> Deployment:
    return Deployment.model_validate({"name": "fraud", "from_registry": {"managed": True} | changes})


def state(champion: str = "3", previous: str | None = None, url: str | None = None) -> DeploymentState:
    return DeploymentState(
        deployment="fraud",
        generation=1,
        champion=champion,
        champion_target=Target(url or f"http://fraud-{champion}:80"),
        champion_since=0.0,
        previous=previous,
        previous_target=None if previous is None else Target(f"http://fraud-{previous}:80"),
    )


def runs(*versions: str) -> Any:
    def answering(version: str) -> Target | str:
        if version in versions:
            return Target(f"unix:/run/{version}.sock", "/v2/models/fraud/infer")
        return f"version {version} is being fetched"

    return answering


def nothing_runs(version: str) -> str:
    return f"version {version} is being fetched"


def shown(found: Resolved) -> tuple[str | None, list[str]]:
    champion = found.deployment.champion
    return None if champion is None else champion.version, [c.version for c in found.deployment.challengers]


@pytest.mark.parametrize(
    ("aliases", "stored", "champion", "challengers"),
    [
        # The first start takes the champion from its alias; later the stored one counts, wherever the alias is.
        ({"champion": "3", "challenger": "4"}, None, "3", ["4"]),
        ({"champion": "3", "challenger": "4"}, state("3"), "3", ["4"]),
        ({"champion": "5", "challenger": "4"}, state("3"), "3", ["4"]),
        ({"challenger": "4"}, state("3"), "3", ["4"]),
        ({"challenger": "4"}, None, None, ["4"]),
        ({}, None, None, []),
        ({}, state("3"), "3", []),
        # An alias at the champion's own version means none.
        ({"champion": "3", "challenger": "3"}, None, "3", []),
        ({"champion": "3", "challenger": "4"}, state("4", previous="3"), "4", []),
        # After a rollback the alias's version scores again.
        ({"champion": "3", "challenger": "4"}, state("3", previous="4"), "3", ["4"]),
    ],
)
def test_the_stored_champion_beats_its_alias_and_challengers_follow_theirs(
    aliases: dict[str, str], stored: DeploymentState | None, champion: str | None, challengers: list[str]
) -> None:
    found = resolve(BY_URL, aliases, stored, nothing_runs)

    assert shown(found) == (champion, challengers)
    assert (found.unserved is None) == (champion is not None)


def test_two_aliases_on_one_version_are_one_challenger_in_the_settings_order() -> None:
    several = Deployment.model_validate(
        {"name": "f", "from_registry": {"url": "http://f-{version}:80", "challengers": ["b", "a", "c", "d"]}}
    )
    found = resolve(several, {"a": "4", "b": "5", "c": "4", "champion": "3"}, None, nothing_runs)

    assert shown(found) == ("3", ["5", "4"])
    assert found.named == ("5", "4")


def test_a_deployment_of_the_file_passes_untouched() -> None:
    plain = Deployment.model_validate({"name": "f", "champion": {"version": "1", "url": "http://m:1"}})

    assert resolve(plain, ALIASES, None, nothing_runs).deployment is plain


def test_challengers_have_the_bounds_of_the_settings() -> None:
    source = {"url": "http://f-{version}:80", "path": "/{version}", "shadow": {"fraction": 0.5, "headers": {"a": "b"}}}
    [challenger] = resolve(
        Deployment.model_validate({"name": "f", "from_registry": source}), ALIASES, None, nothing_runs
    ).deployment.challengers

    assert (challenger.url, challenger.path) == ("http://f-4:80", "/4")
    assert (challenger.fraction, challenger.headers) == (0.5, {"a": "b"})


def test_a_version_that_fits_no_address_is_told_and_the_others_go_on() -> None:
    several = Deployment.model_validate(
        {"name": "f", "from_registry": {"url": "http://f-{version}:80", "challengers": ["a", "b"]}}
    )
    found = resolve(several, {"champion": "3", "a": "evil.example.com", "b": "4"}, None, nothing_runs)

    assert shown(found) == ("3", ["4"])
    assert found.named == ("evil.example.com", "4")
    assert "no dots" in found.waits[0]


def test_a_managed_version_gets_nothing_before_it_answers() -> None:
    before = resolve(managed(), ALIASES, None, nothing_runs)
    challenger_only = resolve(managed(), ALIASES, None, runs("4"))
    both = resolve(managed(), ALIASES, None, runs("3", "4"))

    assert shown(before) == (None, [])
    assert (before.unserved, before.waits) == ("version 3 is being fetched", ("version 4 is being fetched",))
    assert shown(challenger_only) == (None, ["4"])
    assert shown(both) == ("3", ["4"])
    assert (both.unserved, both.waits) == (None, ())
    assert both.deployment.challengers[0].url == "unix:/run/4.sock"


def test_a_stored_champion_that_does_not_answer_now_stays_where_it_was() -> None:
    stored = DeploymentState(
        deployment="fraud",
        generation=1,
        champion="3",
        champion_target=Target("https://m:1", "/x", TargetTls(server_name="n")),
        champion_since=0.0,
    )
    found = resolve(managed(), ALIASES, stored, runs("4"))

    assert found.deployment.champion is not None
    assert (found.deployment.champion.url, found.deployment.champion.path) == ("https://m:1", "/x")
    assert found.deployment.champion.tls.server_name == "n"
    assert found.unserved == "version 3 is being fetched"


def test_where_a_call_placed_the_champion_it_stays() -> None:
    stored = state("9", url="http://elsewhere:1")

    by_call = resolve(BY_URL, ALIASES, stored, nothing_runs, placed_by_call=("9",)).deployment.champion
    by_alias = resolve(BY_URL, ALIASES, stored, nothing_runs).deployment.champion

    assert by_call is not None
    assert by_alias is not None
    assert (by_call.url, by_alias.url) == ("http://elsewhere:1", "http://fraud-9:80")


@pytest.mark.parametrize(("match", "path"), [("/score", "/v2/models/fraud/infer"), ("/v2/models/fraud/*", None)])
def test_a_managed_version_answers_at_its_own_path_unless_many_paths_are_matched(match: str, path: str | None) -> None:
    document = {"name": "fraud", "match": {"path": match}, "from_registry": {"managed": True}}
    found = resolve(Deployment.model_validate(document), ALIASES, None, runs("3", "4")).deployment

    assert found.champion is not None
    assert [found.champion.path, found.challengers[0].path] == [path, path]


@pytest.mark.parametrize(
    ("stored", "removed", "versions"),
    [
        (None, (), ("3", "4")),
        (state("3"), (), ("3", "4")),
        (state("5"), (), ("5", "4")),
        (state("4", previous="3"), (), ("4", "3")),
        (state("5", previous="3"), ("4",), ("5", "3")),
        (state("3", previous="2"), ("4",), ("3", "2")),
    ],
)
def test_champion_former_and_challengers_have_to_run(
    stored: DeploymentState | None, removed: Collection[str], versions: tuple[str, ...]
) -> None:
    source = managed().from_registry
    assert source is not None

    assert wanted(source, ALIASES, stored, removed) == versions


def test_only_the_aliases_of_the_settings_are_followed() -> None:
    source = managed(challengers=["challenger", "canary"]).from_registry
    assert source is not None

    assert followed(source, ALIASES) == {"challenger": "4"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"a": "4"}, (("a", None, "4"),)),
        ({"a": "4"}, {"a": "4"}, ()),
        ({"a": "4", "b": "5"}, {"a": "5"}, (("a", "4", "5"), ("b", "5", None))),
    ],
)
def test_each_alias_that_moved_is_told(before: dict[str, str], after: dict[str, str], told: object) -> None:
    assert moves(before, after) == told
