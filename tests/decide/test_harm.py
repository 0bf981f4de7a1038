"""Harm by a new champion: enough evidence against it alone, and nothing that hits both."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from sidecar.config_gates import Gates
from sidecar.config_promotion import Watch
from sidecar.decide.harm import Harm, harm, watched
from sidecar.reports import Maturity, PairedQuality
from sidecar.standing import Alarm
from tests.decide.decide_samples import NOW, REPORT, alarm, quality, state

WATCHED = state(champion="4", previous="3", watch_until=NOW + 900)
ALPHA = 0.01


def matured(former_right: int, new_right: int, same: int, **changes: Any) -> PairedQuality:
    fields: dict[str, Any] = {
        "after_s": 60.0, "predicted": 10_000, "matched": 9_000, "coverage": 0.9, "better": former_right,
        "worse": new_right, "same": same, "differing": former_right + new_right, "undecided": 0, "bounds": None,
        "arrival_e": 1.0, "refused": None,
    }  # fmt: skip
    return msgspec.structs.replace(quality(0, 0, 0), maturity=Maturity(**fields | changes))


def found(
    new: int = 0,
    former: int = 0,
    judged: int = 1_000,
    paired: PairedQuality | None = None,
    alarms: tuple[Alarm, ...] = (),
    gates: Gates | None = None,
) -> Harm | None:
    report = msgspec.structs.replace(
        REPORT, judged_requests=judged, champion_only_failures=new, challenger_only_failures=former
    )
    return harm(WATCHED, report, paired, gates or Gates(), alarms, ALPHA)


@pytest.mark.parametrize(
    ("new", "former", "judged", "harmful"),
    [
        (0, 0, 0, False),
        (3, 0, 3, False),
        (30, 0, 30, True),
        (40, 0, 1_000, True),
        (2, 0, 1_000, False),
        (40, 40, 1_000, False),
        (0, 500, 1_000, False),
        (1_000, 1_000, 100_000, False),
        (100, 0, 100_000, False),  # as many more as gate errors allows
        (400, 0, 100_000, True),
    ],
)
def test_only_what_it_alone_fails_and_more_than_allowed_is_harm(
    new: int, former: int, judged: int, harmful: bool
) -> None:
    says = found(new, former, judged)
    assert (says is not None) == harmful
    if says is not None:
        assert (says.test, says.champion, says.generation) == ("errors", "4", WATCHED.generation)
        assert says.log_e >= says.needed


@pytest.mark.parametrize(
    ("paired", "harmful"),
    [
        (None, False),
        # Nobody knows which outcomes had their time.
        (msgspec.structs.replace(quality(900, 10, 9_000), maturity=None), False),
        (matured(900, 10, 9_000), True),
        (matured(10, 900, 9_000), False),
        (matured(100, 100, 9_000), False),
        (matured(900, 10, 9_000, after_s=None), False),
        (matured(900, 10, 9_000, refused="the decision prevents the outcome"), False),
        (matured(900, 10, 9_000, arrival_e=25.0), False),
    ],
)
def test_outcomes_are_harm_where_they_can_judge(paired: PairedQuality | None, harmful: bool) -> None:
    says = found(paired=paired)
    assert (says is not None) == harmful
    assert says is None or says.test == "outcome"


def test_under_broken_input_nothing_is_judged_and_another_alarm_is_none() -> None:
    assert found(40, alarms=(alarm(),)) is None
    assert found(40, alarms=(alarm(kind="drift.detected"),)) is not None


def test_margins_are_those_of_the_gates_and_a_gate_that_is_off_lends_its_default() -> None:
    assert found(40, gates=Gates.model_validate({"errors": {"max_increase": 0.2}})) is None
    assert found(1_000, gates=Gates.model_validate({"errors": {"max_increase": 1.0}})) is None
    assert found(40, gates=Gates.model_validate({"errors": False})) is not None


def test_a_harmless_champion_is_seldom_called_harmful_however_often_one_looks() -> None:
    """1,000 watches of 600 requests, looked at after each tenth: at most alpha of them end in a wrong rollback."""
    rng, wrong = random.Random(11), 0
    for _ in range(1_000):
        new = former = 0
        for seen in range(1, 601):
            draw = rng.random()
            new, former = new + (draw < 0.02), former + (0.02 <= draw < 0.04)
            if seen % 10 == 0 and found(new, former, seen) is not None:
                wrong += 1
                break
    assert wrong <= 1_000 * ALPHA


@pytest.mark.parametrize(("new", "enough"), [(2, False), (40, True)])
def test_people_see_what_each_test_has_before_it_is_enough(new: int, enough: bool) -> None:
    report = msgspec.structs.replace(
        REPORT, judged_requests=1_000, champion_only_failures=new, challenger_only_failures=1
    )
    broken = alarm(kind="data.broken")
    seen = watched(WATCHED, NOW + 900, Watch(alpha=ALPHA), report, matured(9, 4, 900), Gates(), [broken])
    assert (seen.until, seen.former, seen.rollback, seen.excused) == (NOW + 900, "3", "auto", True)
    errors, outcome = seen.tests
    assert (errors.name, errors.new_only, errors.former_only, errors.same) == ("errors", new, 1, 999 - new)
    assert (outcome.name, outcome.new_only, outcome.former_only, outcome.same) == ("outcome", 9, 4, 900)
    assert errors.needed == outcome.needed == pytest.approx(2 / ALPHA)
    assert (errors.e_value >= errors.needed) == enough == (found(new, 1) is not None)
    alone = watched(WATCHED, NOW + 900, Watch(rollback="off"), None, None, Gates(), [])
    assert (alone.rollback, alone.excused, alone.tests) == ("off", False, ())
