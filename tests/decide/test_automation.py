"""What holds the machine back: people, its own past, patience, hours, and how often it has moved."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sidecar.config_promotion import Hours, Promotion
from sidecar.decide.audit_chain import EMPTY, Deed, seal
from sidecar.decide.automation import Past, inside, waits
from sidecar.standing import AuditEntry
from tests.decide.decide_samples import NOW

AUTO = Promotion.model_validate({"mode": "auto", "dwell_s": 60.0})
DAY_S = 86_400.0


def entry(
    action: str, to: str | None, actor: str = "sidecar", former: str | None = None, at: float = NOW
) -> AuditEntry:
    return seal(
        EMPTY,
        Deed(
            at=at,
            actor=actor,
            action=action,
            deployment="fraud",
            from_version=former,
            to_version=to,
            reason="as it is",
            evidence=None,
            details="{}",
        ),
    )


START = entry("start", "3", former="3")


@pytest.mark.parametrize(
    ("steps", "held"),
    [
        ([START], {"3": "been champion"}),
        ([START, entry("promote", "4", "ann", "3")], {"3": "been champion", "4": "been champion"}),
        ([START, entry("promote", "4"), entry("rollback", "3", "bob", "4")], {"4": "rolled back by bob"}),
        ([START, entry("promote", "4"), entry("rollback", "3", "sidecar", "4")], {"4": "rolled back by sidecar"}),
        ([START, entry("override", "4", "eve", "3")], {"3": "been champion"}),
        ([START, entry("hold", "5", "ann")], {"5": "ann holds it: as it is"}),
        ([START, entry("hold", "5", "ann"), entry("release", "5", "bob")], {"5": None}),
        ([START, entry("rollback", "3", "bob", "4"), entry("release", "4", "ann")], {"4": None, "3": "been champion"}),
        ([START, entry("release", "4", "ann"), entry("rollback", "3", "bob", "4")], {"4": "rolled back by bob"}),
        ([START, entry("acknowledge", None, "ann"), entry("approve", "4", "ann")], {"4": None}),
    ],
)
def test_what_people_and_the_past_have_decided_holds(steps: list[AuditEntry], held: dict[str, str | None]) -> None:
    past = Past(steps)
    for version, says in held.items():
        found = past.held(version)
        assert (found is None) if says is None else (says in (found or ""))
    assert past.held("a new one") is None


@pytest.mark.parametrize(
    ("passing_s", "past", "says"),
    [
        (None, [], "not every gate passes"),
        (0.0, [], "for 0 of 60 s"),
        (59.9, [], "for 60 of 60 s"),
        (60.0, [], None),
        (1e9, [entry("hold", "4", "ann")], "ann holds it"),
        (1e9, [entry("promote", str(n), at=NOW - n) for n in range(10, 13)], "at most 4 times"),
        (1e9, [entry("promote", str(n), at=NOW - n) for n in range(10, 12)], None),
        (1e9, [entry("promote", str(n), "ann", at=NOW - n) for n in range(10, 30)], None),
        (1e9, [entry("promote", str(n), at=NOW - DAY_S - n) for n in range(10, 30)], None),
        (1e9, [entry("promote", str(n), at=NOW + n) for n in range(10, 13)], "at most 4 times"),
    ],
)
def test_the_machine_waits_and_says_why(passing_s: float | None, past: list[AuditEntry], says: str | None) -> None:
    found = waits(AUTO, Past(past), "4", passing_s, NOW)
    assert (found is None) if says is None else (says in (found or "")), found


BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("hours", "moment", "allowed"),
    [
        ({}, "2026-03-29T02:30", True),
        ({"days": ["mon", "tue"], "start": "09:00", "end": "17:00"}, "2026-11-23T09:00", True),  # a Monday
        ({"days": ["mon", "tue"], "start": "09:00", "end": "17:00"}, "2026-11-23T08:59", False),
        ({"days": ["mon", "tue"], "start": "09:00", "end": "17:00"}, "2026-11-23T17:00", False),
        ({"days": ["mon", "tue"], "start": "09:00", "end": "17:00"}, "2026-11-25T12:00", False),
        ({"start": 540, "end": 1020}, "2026-07-06T16:59", True),  # summer time is the wall's time
        ({"days": ["fri"], "start": "22:00", "end": "06:00"}, "2026-11-27T23:00", True),
        ({"days": ["fri"], "start": "22:00", "end": "06:00"}, "2026-11-28T05:59", True),
        ({"days": ["fri"], "start": "22:00", "end": "06:00"}, "2026-11-28T06:00", False),
        ({"days": ["fri"], "start": "22:00", "end": "06:00"}, "2026-11-28T23:00", False),
        ({"days": ["fri"], "start": "22:00", "end": "06:00"}, "2026-11-27T05:00", False),
    ],
)
def test_hours_are_those_of_the_wall(hours: dict[str, Any], moment: str, allowed: bool) -> None:
    policy = Hours.model_validate({"zone": "Europe/Berlin"} | hours)
    assert inside(policy, at(moment)) == allowed
    auto = Promotion(mode="auto", hours=policy)
    found = waits(auto, Past(), "4", 1e9, at(moment))
    assert (found is None) == allowed
    assert allowed or "Europe/Berlin" in (found or "")


@pytest.mark.parametrize(
    ("promotion", "says"),
    [
        ({"mode": "manual", "dwell_s": 5.0}, "dwell_s"),
        ({"hours": {"start": "09:00"}}, "hours"),
        ({"watch": {"rollback": False}, "flaps": {"most": 8}}, "flaps"),
        ({"watch": {"rollback": "off", "alpha": 0.05}}, "alpha"),
        ({"mode": "auto", "flaps": {"most": 1}}, "greater than or equal to 2"),
        ({"mode": "auto", "hours": {"start": "9"}}, "time of day"),
        ({"mode": "auto", "hours": {"start": True}}, "time of day"),
        ({"mode": "auto", "hours": {"start": "25:00"}}, "time of day"),
        ({"mode": "auto", "hours": {"start": "12:00", "end": "12:00"}}, "no time at all"),
        ({"mode": "auto", "hours": {"start": "24:00", "end": "12:00"}}, "no time at all"),
        ({"mode": "auto", "hours": {"days": []}}, "at least 1"),
        ({"mode": "auto", "hours": {"days": ["monday"]}}, "mon"),
        ({"mode": "sometimes"}, "manual"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(promotion: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Promotion.model_validate(promotion)
