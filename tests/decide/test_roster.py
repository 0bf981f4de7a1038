"""A roster lies over the file and beats it, until the file says the same."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.config import Deployment
from sidecar.config_versions import Challenger
from sidecar.decide.roster import (
    Roster,
    differences,
    following,
    in_force,
    known_settings,
    source_of,
    switched,
    with_challenger,
    without_challenger,
)
from sidecar.errors import Refused, Unknown
from sidecar.standing import DeploymentState, Target, TargetTls

URLS = {version: f"http://127.0.0.1:80{version}0" for version in "23456"}


def challenger(version: str, **changes: Any) -> Challenger:
    return Challenger.model_validate({"version": version, "url": URLS[version]} | changes)


def file(*challengers: Challenger, **changes: Any) -> Deployment:
    fields: dict[str, Any] = {"name": "fraud", "champion": {"version": "3", "url": URLS["3"]}}
    return Deployment.model_validate(fields | {"challengers": challengers} | changes)


def state(champion: str = "3", previous: str | None = None) -> DeploymentState:
    return DeploymentState(
        deployment="fraud",
        generation=2 if previous else 1,
        champion=champion,
        champion_target=Target(URLS[champion]),
        champion_since=0.0,
        previous=previous,
        previous_target=Target(URLS[previous]) if previous else None,
    )


NOTHING = Roster(deployment="fraud")
FILE = file(challenger("4"))


def scoring(deployment: Deployment, roster: Roster | None) -> list[tuple[str, float]]:
    return [(c.version, c.fraction) for c in in_force(deployment, roster).challengers]


def test_without_changes_the_file_is_in_force() -> None:
    assert in_force(FILE, None) is FILE
    assert in_force(FILE, NOTHING) is FILE


def test_a_challenger_is_added_changed_and_removed_and_each_change_is_counted() -> None:
    added = with_challenger(FILE, state(), NOTHING, challenger("5", fraction=0.5))
    assert (scoring(FILE, added), added.revision) == ([("4", 1.0), ("5", 0.5)], 1)
    changed = with_challenger(FILE, state(), added, challenger("4", fraction=0.1))
    assert (scoring(FILE, changed), changed.revision) == ([("4", 0.1), ("5", 0.5)], 2)
    removed = without_challenger(FILE, state(), changed, "4")
    assert (scoring(FILE, removed), removed.removed, removed.revision) == ([("5", 0.5)], ("4",), 3)
    again = with_challenger(FILE, state(), removed, challenger("4", fraction=0.2))
    assert (scoring(FILE, again), again.removed) == ([("4", 0.2), ("5", 0.5)], ())


def test_what_changes_nothing_is_the_same_roster() -> None:
    added = with_challenger(FILE, state(), NOTHING, challenger("5"))
    assert with_challenger(FILE, state(), added, challenger("5")) is added
    assert with_challenger(FILE, state(), NOTHING, challenger("4")) is NOTHING
    assert switched(NOTHING, enabled=True) is NOTHING


def test_a_change_back_to_what_the_file_says_leaves_nothing_over_it() -> None:
    changed = with_challenger(FILE, state(), NOTHING, challenger("4", fraction=0.1))
    back = with_challenger(FILE, state(), changed, challenger("4"))
    assert (back.challengers, back.removed, back.revision) == ((), (), 2)


def test_removing_one_that_only_a_call_has_named_leaves_nothing_over_the_file() -> None:
    added = with_challenger(FILE, state(), NOTHING, challenger("5"))
    gone = without_challenger(FILE, state(), added, "5")
    assert (gone.challengers, gone.removed) == ((), ())


def test_a_file_that_caught_up_counts_again() -> None:
    changed = with_challenger(FILE, state(), NOTHING, challenger("4", fraction=0.1))
    changed = with_challenger(FILE, state(), changed, challenger("5"))
    caught_up = file(challenger("4", fraction=0.1))

    left = following(caught_up, changed)

    assert ([c.version for c in left.challengers], left.revision) == (["5"], 3)
    assert scoring(file(challenger("4", fraction=0.3)), left) == [("4", 0.3), ("5", 1.0)]
    assert following(caught_up, left) is left


def test_a_removal_holds_while_the_file_names_the_version() -> None:
    removed = without_challenger(FILE, state(), NOTHING, "4")
    assert following(FILE, removed) is removed
    forgotten = following(file(), removed)
    assert forgotten.removed == ()
    assert scoring(FILE, forgotten) == [("4", 1.0)]


def test_the_kill_switch_is_kept_whatever_the_file_says() -> None:
    off = switched(NOTHING, enabled=False)
    assert (off.enabled, off.revision) == (False, 1)
    assert following(file(), off) is off
    assert in_force(FILE, off) is FILE


@pytest.mark.parametrize(
    ("standing", "version", "error", "says"),
    [
        (state(), "3", Refused, "version 3 is the champion; promote another version first"),
        (
            state("4", "3"),
            "3",
            Refused,
            "is where a rollback goes back to, so it goes on scoring; set its fraction to 0",
        ),
        (state("4", "3"), "4", Refused, "version 4 is the champion"),
        (state(), "9", Unknown, "fraud has no challenger '9'; it has 4"),
        (state("4", "2"), "3", Unknown, "fraud has no challenger '3'; it has none"),
    ],
)
def test_what_may_not_be_removed(standing: DeploymentState, version: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        without_challenger(FILE, standing, NOTHING, version)


def test_a_champion_is_no_challenger() -> None:
    with pytest.raises(Refused, match="version 4 is the champion, it gets no copies"):
        with_challenger(FILE, state("4", "3"), NOTHING, challenger("4", fraction=0.1))


def test_a_former_champion_can_be_given_fewer_copies_but_the_files_champion_no_other_address() -> None:
    promoted = state("4", "3")
    fewer = with_challenger(FILE, promoted, NOTHING, challenger("3", fraction=0.0))
    assert scoring(FILE, fewer) == [("4", 1.0), ("3", 0.0)]
    with pytest.raises(Refused, match="names version 3 as champion, so its address is changed there"):
        with_challenger(FILE, promoted, NOTHING, challenger("3", url="http://127.0.0.1:9"))


def test_the_files_champion_moves_with_the_file_also_under_a_calls_settings() -> None:
    fewer = with_challenger(FILE, state("4", "3"), NOTHING, challenger("3", fraction=0.0))
    moved = file(challenger("4"), champion={"version": "3", "url": "https://elsewhere", "path": "/x"})
    (found,) = (c for c in in_force(moved, fewer).challengers if c.version == "3")
    assert (found.url, found.path, found.fraction) == ("https://elsewhere", "/x", 0.0)


def test_what_is_known_of_a_version_is_where_a_change_begins() -> None:
    moved = state("4", "2")
    assert known_settings(FILE, moved, "4") == challenger("4").model_dump()
    assert (known_settings(FILE, moved, "3") or {})["url"] == URLS["3"]
    assert (known_settings(FILE, moved, "2") or {})["url"] == URLS["2"]
    assert known_settings(FILE, moved, "9") is None


def test_how_a_former_champion_is_verified_is_known() -> None:
    tls = TargetTls(ca_file="/ca.pem", server_name="two.internal")
    before = DeploymentState(
        deployment="fraud", generation=2, champion="3", champion_target=Target(URLS["3"]), champion_since=0.0,
        previous="2", previous_target=Target("https://two:443", "/p", tls),
    )  # fmt: skip
    known = Challenger.model_validate(known_settings(FILE, before, "2"))
    assert (known.path, known.tls.ca_file, known.tls.server_name, known.tls.key_file) == (
        "/p", "/ca.pem", "two.internal", None
    )  # fmt: skip


def test_where_settings_come_from_and_how_the_file_differs_is_told() -> None:
    both = file(challenger("4"), challenger("6"))
    roster = with_challenger(both, state("6", "2"), NOTHING, challenger("4", fraction=0.1))
    roster = with_challenger(both, state("6", "2"), roster, challenger("5"))
    roster = without_challenger(both, state("3"), roster, "6")
    assert differences(both, state("2"), roster) == (
        "champion is 2, the file has 3",
        "challenger 4 was changed by a call",
        "challenger 5 was added by a call",
        "challenger 6 was removed by a call",
    )
    assert [source_of(both, roster, version) for version in "456"] == ["call", "call", "settings"]
    assert source_of(both, roster, "2") == "former"
    assert differences(both, state("3"), None) == ()


def test_a_roster_reads_back_as_it_was_written() -> None:
    roster = with_challenger(FILE, state(), NOTHING, challenger("5", headers={"X-B": "1", "x-a": "2"}, max_per_s=3))
    assert Roster.model_validate_json(roster.model_dump_json()) == roster


def test_a_removal_holds_while_the_version_is_named_though_it_gets_no_copies_yet() -> None:
    removed = Roster(deployment="fraud", revision=1, removed=("4",))
    nothing_yet = file()

    assert following(nothing_yet, removed, ("4",)) is removed
    assert following(nothing_yet, removed).removed == ()


def test_a_challenger_by_alias_says_so() -> None:
    source = {"url": "http://127.0.0.1:8000", "path": "/{version}"}
    by_alias = Deployment.model_validate({"name": "fraud", "from_registry": source})
    deployment = by_alias.model_copy(update={"challengers": (challenger("4"),)})

    assert source_of(deployment, NOTHING, "4") == "registry"
    assert source_of(deployment, NOTHING, "3") == "former"
    assert differences(deployment, state("5"), NOTHING) == ()
    assert known_settings(deployment, state("3"), "9") is None
