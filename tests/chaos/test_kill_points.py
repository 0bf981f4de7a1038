"""SIGKILL at each place that a transition comes by: what is there afterwards is the old or the new, never half.

R-C01, for each place and each verb, on one control that is started again every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kill_points import ROUND_POINTS, VERB_POINTS, WORD_POINTS
from tests.chaos.killed_control import ONE, Killed, killed_control
from tests.process.whole_sidecar import until

OTHER = {"3": "4", "4": "3"}
# From here on the transition is on disk: it stands though nobody was told.
COMMITTED = list(VERB_POINTS)[list(VERB_POINTS).index("after the commit") :]
numbers = itertools.count()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    with killed_control(tmp_path_factory.mktemp("killed"), traffic=True) as control:
        yield control


def standing(control: Killed) -> tuple[str, int]:
    status = control.get(ONE)
    return status["champion"]["version"], status["generation"]


def to_the_other(control: Killed, verb: str, key: str) -> Any:
    """One transition to the version that is not champion."""
    champion, _ = standing(control)
    target = {"to": OTHER[champion]} if verb == "rollback" else {"challenger": OTHER[champion]}
    return lambda: control.call(f"{ONE}/{verb}", target | {"reason": "to try it out"}, key)


@pytest.mark.parametrize("verb", ["promote", "rollback"])
@pytest.mark.parametrize("place", list(VERB_POINTS))
def test_a_kill_during_a_transition_leaves_the_old_or_the_new(control: Killed, place: str, verb: str) -> None:
    before, generation = standing(control)
    lives, entries = control.lives, control.get("/v1/audit/verify")["entries"]
    call = to_the_other(control, verb, f"key-{next(numbers)}")
    control.arm(place)
    answered = call()
    until(f"control was killed {place}", lambda: control.lives > lives and not control.armed, 60)
    control.up()

    committed = place in COMMITTED
    now = standing(control)
    assert now == ((OTHER[before], generation + 1) if committed else (before, generation))
    assert answered is None or committed, "what was acknowledged is there"
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, entries + committed), check

    # The same call again: done once, and the answer is of the first time.
    again = call()
    assert again is not None
    assert (again.status, again.document["generation"]) == (200, generation + 1), again
    assert standing(control) == (OTHER[before], generation + 1)
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, entries + 1), check
    until("every worker routes", control.ready, 60)
    assert control.served() == OTHER[before]
    until("the registry was told", lambda: control.alias() == OTHER[before], 60)


@pytest.mark.parametrize("place", ["after the audit entry's row", "after the commit"])
def test_a_kill_during_an_override_leaves_the_old_or_the_new(control: Killed, place: str) -> None:
    test_a_kill_during_a_transition_leaves_the_old_or_the_new(control, place, "override")


@pytest.mark.parametrize("place", list(WORD_POINTS))
def test_a_kill_while_a_version_is_held_forgets_no_word_that_was_taken(control: Killed, place: str) -> None:
    before, lives = standing(control), control.lives
    word = {"version": "4", "held": True, "reason": "not before May"}
    control.call(f"{ONE}/hold", word | {"held": False})  # as the tests before have left it
    entries = control.get("/v1/audit/verify")["entries"]
    control.arm(place)
    answered = control.call(f"{ONE}/hold", word)
    until(f"control was killed {place}", lambda: control.lives > lives and not control.armed, 60)
    control.up()

    committed = place == "after the word's commit"
    assert answered is None
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, entries + committed), check
    again = control.call(f"{ONE}/hold", word)
    assert again is not None
    assert again.document["done"] == ("unchanged" if committed else "held")
    assert control.get("/v1/audit/verify")["entries"] == entries + 1
    assert standing(control) == before
    until("every worker routes", control.ready, 60)


@pytest.mark.parametrize("place", list(ROUND_POINTS))
def test_a_kill_while_evidence_is_kept_changes_nothing(control: Killed, place: str) -> None:
    before, lives = standing(control), control.lives
    control.arm(place)
    until(f"control was killed {place}", lambda: control.lives > lives and not control.armed, 60)
    control.up()
    assert standing(control) == before
    assert control.get("/v1/audit/verify")["ok"]
    until("every worker routes", control.ready, 60)


def test_control_ends_in_order_after_all_that(tmp_path: Path) -> None:
    with killed_control(tmp_path, traffic=False) as control:
        control.up()
        control.kill()
        until("another one", lambda: control.lives == 2, 60)
        control.up()
        assert control.close() == [0]
        assert "Traceback" not in control.said()


@pytest.mark.parametrize("abort", [False, True], ids=["begins", "ends"])
@pytest.mark.parametrize(
    "place",
    [
        "before the transaction", "after the state's row", "after the audit entry's row", "after the receipt's row",
        "before the commit", "after the commit", "after the head", "before publication",
        "after the workers were sent it",
    ],
)  # fmt: skip
def test_a_kill_while_a_canary_begins_or_ends_leaves_it_whole_or_not_there(
    control: Killed, place: str, abort: bool
) -> None:
    def canary() -> str | None:
        found = control.get(ONE)["canary"]
        return None if found is None else str(found["version"])

    champion, generation = standing(control)
    other, path = OTHER[champion], f"{ONE}/canary"
    begin, end = ({"challenger": other, "reason": "a few first"}, {"abort": True, "reason": "enough was seen"})
    if (canary() is not None) != abort:
        assert control.call(path, end if canary() is not None else begin) is not None
    before, after = (other, None) if abort else (None, other)
    lives, entries, key = control.lives, control.get("/v1/audit/verify")["entries"], f"key-{next(numbers)}"
    control.arm(place)
    answered = control.call(path, end if abort else begin, key)
    until(f"control was killed {place}", lambda: control.lives > lives and not control.armed, 60)
    control.up()
    committed = place in COMMITTED
    assert canary() == (after if committed else before)
    assert answered is None or committed, "what was acknowledged is there"
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, entries + committed), check
    again = control.call(path, end if abort else begin, key)
    assert again is not None
    assert (again.status, again.document["weight"]) == (200, 0.0 if abort else 0.5), again
    assert (canary(), standing(control)) == (after, (champion, generation))
    until("every worker routes", control.ready, 60)
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, entries + 1), check
