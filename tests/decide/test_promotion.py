from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar import __version__
from sidecar.decide.canary import decide_canary, decide_step, decide_stop
from sidecar.decide.harm import Harm
from sidecar.decide.promotion import (
    TRANSITIONS,
    Plan,
    Rollback,
    checked_reason,
    decide_override,
    decide_promotion,
    decide_rollback,
    decide_start,
    diagram,
    phase,
)
from sidecar.errors import Invalid, Refused, SidecarError, Unknown
from sidecar.reports import GateVerdict
from sidecar.standing import DeploymentState, Target
from sidecar.wished import Wish
from tests.decide.decide_samples import CANARY, KNOWN, NOW, state, table

HARM = Harm(
    champion="3", generation=5, test="errors", says="it alone fails", new_only=9, former_only=0, same=91, margin=0.001,
    log_e=7.5, needed=5.3,
)  # fmt: skip


def gate(name: str, verdict: Any, detail: str) -> GateVerdict:
    return GateVerdict(name=name, verdict=verdict, observed=1, required=2, n=3, detail=detail)


def promote(stored: DeploymentState | None = None, judged: Any = None, **wishes: Any) -> Plan:
    command = Wish(**{"challenger": "4", "actor": "alice", "reason": "better by far"} | wishes)
    return decide_promotion(stored or state(), command, judged or table(), KNOWN, now=NOW, watch_s=1_800.0)


def back(stored: DeploymentState | None = None, **wishes: Any) -> Plan:
    return decide_rollback(stored or state(), Rollback(**{"actor": "bob", "reason": "worse"} | wishes), KNOWN, NOW)


def override(stored: DeploymentState | None = None, judged: Any = None, **wishes: Any) -> Plan:
    command = Wish(**{"challenger": "4", "actor": "eve", "reason": "the champion leaks"} | wishes)
    return decide_override(stored or state(), command, judged, KNOWN, now=NOW)


def test_a_promotion_moves_the_pointer_and_opens_the_watch() -> None:
    plan = promote(judged=table(gates=(gate("pairs", "pass", "5,000 of 5,000 pairs"),)))
    assert plan.state == DeploymentState(
        deployment="fraud",
        generation=6,
        champion="4",
        champion_target=KNOWN["4"],
        champion_since=NOW,
        previous="3",
        previous_target=KNOWN["3"],
        watch_until=NOW + 1_800.0,
    )
    assert (plan.action, plan.from_version, plan.to_version, plan.expected_generation) == ("promote", "3", "4", 5)
    assert (plan.target, plan.actor, plan.reason, plan.evidence) == (KNOWN["4"], "alice", "better by far", "sha256:e1")
    told = json.loads(plan.details)
    assert told["gates"][0]["name"] == "pairs"
    assert (told["software"], told["force"], told["target"]["url"]) == (__version__, False, KNOWN["4"].url)


@pytest.mark.parametrize(
    ("wishes", "judged", "error", "says"),
    [
        ({"challenger": "9"}, {}, Unknown, "fraud has no version 9; it has 2, 4"),
        ({"challenger": "3"}, {}, Refused, "version 3 is the champion already"),
        ({"expected_champion": "2"}, {}, Refused, "champion is version 3, not 2"),
        ({"evidence": "sha256:e0"}, {}, Refused, "evidence has changed"),
        ({"reason": "  x "}, {}, Invalid, "3 to 500 characters"),
        ({}, {"verdict": "insufficient"}, Refused, "the gates say insufficient"),
        ({}, {"verdict": "off"}, Refused, "may not be promoted"),
        ({}, {"champion": "2"}, Refused, "not about 4 against 3"),
        ({}, {"challenger": "2"}, Refused, "not about 4 against 3"),
        ({}, {"deployment": "other"}, Refused, "of other"),
        (
            {},
            {"verdict": "insufficient", "gates": (gate("pairs", "insufficient", "3 of 5 pairs"),)},
            Refused,
            "gate pairs has too little to go on (3 of 5 pairs)",
        ),
        (
            {},
            {"verdict": "fail", "gates": (gate("pairs", "insufficient", "few"), gate("inputs", "fail", "broken"))},
            Refused,
            "gate inputs fails (broken), and 1 more",
        ),
    ],
)
def test_a_promotion_is_refused(
    wishes: dict[str, Any], judged: dict[str, Any], error: type[SidecarError], says: str
) -> None:
    with pytest.raises(error) as caught:
        promote(judged=table(**judged), **wishes)
    assert says in str(caught.value)
    if isinstance(caught.value, Refused) and ("verdict" in judged or "evidence" in wishes):
        assert caught.value.gates == table(**judged)


def test_a_lost_race_is_told_before_anything_else() -> None:
    with pytest.raises(Refused, match="not 2 as expected"):
        promote(challenger="9", expected_champion="2")


def test_what_was_expected_and_reviewed_may_be_named() -> None:
    assert promote(expected_champion="3", evidence="sha256:e1", force=True).state.champion == "4"


def test_a_promotion_during_a_watch_starts_a_new_watch() -> None:
    assert promote(state(watch_until=NOW + 5)).state.watch_until == NOW + 1_800.0


def test_a_rollback_goes_to_the_previous_champion_without_gates() -> None:
    plan = back(state(watch_until=NOW + 60))
    assert (plan.state.champion, plan.state.previous, plan.state.generation) == ("2", "3", 6)
    assert (plan.state.watch_until, plan.evidence, plan.action) == (None, None, "rollback")
    # The settings name version 2: their address is newer than the stored one.
    assert plan.state.champion_target == KNOWN["2"]


def test_a_rollback_of_a_rollback_is_where_it_began() -> None:
    once = back().state
    twice = back(once).state
    assert (twice.champion, twice.previous, twice.generation) == ("3", "2", 7)


def test_a_previous_champion_that_left_the_settings_is_reached_at_its_stored_address() -> None:
    plan = decide_rollback(state(), Rollback("bob", "worse"), {"3": KNOWN["3"]}, NOW)
    assert plan.target == Target("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("changes", "wishes", "error", "says"),
    [
        ({"previous": None, "previous_target": None}, {}, Refused, "nothing to go back to"),
        ({}, {"to": "3"}, Refused, "champion already"),
        ({}, {"to": "9"}, Unknown, "no address is known for version 9"),
        ({"previous": "1", "previous_target": None}, {}, Unknown, "version 1"),
        ({}, {"reason": ""}, Invalid, "has 0"),
    ],
)
def test_a_rollback_is_refused(
    changes: dict[str, Any], wishes: dict[str, Any], error: type[SidecarError], says: str
) -> None:
    with pytest.raises(error, match=says):
        back(state(**changes), **wishes)


def test_a_rollback_may_name_another_known_version() -> None:
    assert back(to="4").state.champion == "4"


@pytest.mark.parametrize(
    ("reason", "fine"),
    [
        ("abc", True),
        (" ab ", False),
        ("x" * 500, True),
        ("x" * 501, False),
        ("Überprüft: größer als v3 👍", True),
        ("two\nlines", False),
        ("bell\a rings", False),
        ("nul\0", False),
        ("half \ud800 pair", False),
        ("abc\u202edetpircs", False),
        ("line\u2028end", False),
    ],
)
def test_a_reason_is_one_readable_line(reason: str, fine: bool) -> None:
    if fine:
        assert checked_reason(f"  {reason} ") == reason
    else:
        with pytest.raises(Invalid):
            checked_reason(reason)


@pytest.mark.parametrize(
    ("watch_until", "expected"), [(None, "steady"), (NOW - 1, "steady"), (NOW, "steady"), (NOW + 0.1, "watching")]
)
def test_a_watch_ends_by_the_clock(watch_until: float | None, expected: str) -> None:
    assert phase(state(watch_until=watch_until), NOW) == expected


@pytest.mark.parametrize(("before", "happening"), [key for key in TRANSITIONS if key[1] != "watch_ended"])
def test_every_cell_of_the_table_is_what_the_decisions_do(before: str, happening: str) -> None:
    stored = state(watch_until=NOW + 10 if before == "watching" else None)
    if before == "canary":
        stored = state(canary=CANARY)
    plan = {
        "canary_start": lambda: decide_canary(
            stored, Wish("4", "ann", "a few first"), table(), KNOWN, CANARY.steps, now=NOW
        ),
        "canary_step": lambda: decide_step(stored, CANARY, table(), "sidecar", "every gate passes", NOW),
        "canary_stop": lambda: decide_stop(stored, None, "ann", "not as good", NOW),
        "promote": lambda: promote(stored),
        "automatic_promote": lambda: promote(stored, automatic=True),
        "override": lambda: override(stored),
        "rollback": lambda: back(stored),
        "automatic_rollback": lambda: back(stored, harm=HARM),
    }[happening]()
    assert phase(plan.state, NOW) == TRANSITIONS[before, happening]  # type: ignore[index]  # parametrised
    if happening.startswith("canary"):
        same = msgspec.structs.replace(stored, canary=None, watch_until=None)
        assert msgspec.structs.replace(plan.state, canary=None) == same
        return
    assert plan.state.canary is None
    assert plan.state.generation == stored.generation + 1
    assert plan.state.champion != stored.champion == plan.state.previous


@pytest.mark.parametrize(
    ("before", "happening"),
    [("watching", "automatic_promote"), ("steady", "automatic_rollback"), ("canary", "automatic_rollback")],
)
def test_what_is_not_in_the_table_is_refused(before: str, happening: str) -> None:
    assert (before, happening) not in TRANSITIONS
    stored = state(
        watch_until=NOW + 10 if before == "watching" else None, canary=CANARY if before == "canary" else None
    )
    with pytest.raises(Refused, match=f"is {before}"):
        promote(stored, automatic=True) if happening == "automatic_promote" else back(stored, harm=HARM)


def test_an_override_asks_no_gate_opens_no_watch_and_keeps_what_the_gates_said() -> None:
    refused = table(verdict="fail", gates=(gate("errors", "fail", "far too many"),))
    plan = override(state(watch_until=NOW + 60), refused)
    assert (plan.action, plan.state.champion, plan.state.previous) == ("override", "4", "3")
    assert (plan.state.watch_until, plan.evidence) == (None, "sha256:e1")
    told = json.loads(plan.details)
    assert (told["verdict"], told["gates"][0]["verdict"]) == ("fail", "fail")
    assert "verdict" not in json.loads(override().details)


@pytest.mark.parametrize(
    ("wishes", "error", "says"),
    [
        ({"reason": "too short"}, Invalid, "at least 10"),
        ({"challenger": "3"}, Refused, "champion already"),
        ({"challenger": "9"}, Unknown, "no version 9"),
        ({"expected_champion": "2"}, Refused, "not 2 as expected"),
        ({"evidence": "sha256:e1"}, Refused, "no evidence on version 4"),
        ({"plan": "sha256:other"}, Refused, "repeat the dry run"),
    ],
)
def test_an_override_is_refused(wishes: dict[str, Any], error: type[SidecarError], says: str) -> None:
    with pytest.raises(error, match=says):
        override(**wishes)


def test_a_machine_says_that_it_was_one() -> None:
    assert json.loads(promote(automatic=True).details)["automatic"] is True
    told = json.loads(back(state(watch_until=NOW + 9), harm=HARM).details)
    assert (told["automatic"], told["harm"]) == (True, msgspec.to_builtins(HARM))
    assert "automatic" not in json.loads(promote().details)


def test_harm_that_was_found_about_another_champion_moves_nothing() -> None:
    with pytest.raises(Refused, match="not what was judged"):
        back(state(watch_until=NOW + 9, generation=6), harm=HARM)


def test_a_first_start_stores_what_the_settings_name() -> None:
    plan = decide_start(None, "fraud", "3", KNOWN["3"], NOW)
    assert plan is not None
    assert (plan.state.generation, plan.state.champion, plan.expected_generation, plan.action) == (1, "3", 0, "start")
    assert plan.state.previous is None


def test_a_later_start_changes_nothing() -> None:
    assert decide_start(state(), "fraud", "3", KNOWN["3"], NOW) is None


def test_a_start_follows_the_champion_to_another_address() -> None:
    moved = Target("http://127.0.0.1:9999", "/elsewhere")
    plan = decide_start(state(), "fraud", "3", moved, NOW)
    assert plan is not None
    assert plan.state == msgspec.structs.replace(state(), generation=6, champion_target=moved)
    assert plan.expected_generation == 5


def test_the_stored_champion_beats_the_settings() -> None:
    assert decide_start(state(), "fraud", "4", KNOWN["4"], NOW) is None


def test_the_diagram_in_the_docs_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "promotion.md"
    assert f"```mermaid\n{diagram()}\n```" in page.read_text(encoding="utf-8")
