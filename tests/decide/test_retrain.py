from __future__ import annotations

from typing import Any

import pytest

from sidecar.config_events import Retrain
from sidecar.decide.retrain import MONTH_S, Earlier, Held, Recommendation, Stretch, left_out, recommend
from sidecar.standing import Alarm

NOW = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0


def alarm(**changes: Any) -> Alarm:
    fields: dict[str, Any] = {
        "id": "a-1",
        "deployment": "fraud",
        "kind": "outcome.degraded",
        "severity": "critical",
        "says": "worse",
        "action": "look",
        "since": NOW - 2 * HOUR,
        "owner": "risk",
        "acknowledged": False,
    }
    return Alarm(**fields | changes)


BROKEN = alarm(id="b-1", kind="data.broken", since=NOW - DAY)
CATEGORY = alarm(id="c-1", kind="drift.detected", cause="new_category", severity="warning")


@pytest.mark.parametrize(
    ("policy", "alarms", "broken", "earlier", "why"),
    [
        pytest.param({"per_month": 0}, [alarm()], [], [], "off", id="switched off"),
        pytest.param({}, [], [], [], "nothing", id="no alarm"),
        pytest.param({}, [BROKEN], [], [], "nothing", id="a broken feed alone"),
        pytest.param({}, [alarm(explained_by="b-1")], [], [], "nothing", id="explained by another"),
        pytest.param({}, [alarm(ended=NOW - 1)], [], [], "nothing", id="ended"),
        pytest.param({}, [alarm(kind="prediction.shifted")], [], [], "nothing", id="only answers moved"),
        pytest.param({}, [alarm(kind="mirror.silent")], [], [], "nothing", id="not about the model"),
        pytest.param({}, [alarm(kind="drift.detected", cause="new_category")], [], [], "nothing", id="new category"),
        pytest.param({}, [alarm(severity="warning")], [], [], "not_grave", id="not grave enough"),
        pytest.param({}, [alarm(), BROKEN], [], [], "broken_feed", id="beside a broken feed"),
        pytest.param({}, [alarm(), CATEGORY], [], [], "broken_feed", id="beside a new category"),
        pytest.param({}, [alarm(since=NOW - HOUR + 1)], [], [], "too_young", id="too young"),
        pytest.param(
            {}, [alarm(since=NOW - DAY)], [Stretch(NOW - 2 * DAY, NOW - HOUR + 1)], [], "too_young", id="mended"
        ),
        pytest.param(
            {},
            [alarm(since=NOW - DAY), alarm(id="b", kind="data.broken", acknowledged=True)],
            [Stretch(NOW - 2 * DAY, None)],
            [],
            "too_young",
            id="began under a feed that is still broken",
        ),
        pytest.param({"acknowledged": True}, [alarm()], [], [], "unacknowledged", id="nobody has looked"),
        pytest.param({}, [alarm()], [], [Earlier(NOW - 20 * DAY, None)], "undelivered", id="the last one is under way"),
        pytest.param({}, [alarm()], [], [Earlier(NOW - 20 * DAY, NOW - 6 * DAY)], "cooldown", id="taken lately"),
        pytest.param(
            {}, [alarm()], [], [Earlier(NOW - 8 * DAY, NOW - 8 * DAY), Earlier(NOW - 29 * DAY, NOW)], "cooldown", id="2"
        ),
        pytest.param(
            {},
            [alarm()],
            [],
            [Earlier(NOW - 8 * DAY, NOW - 8 * DAY), Earlier(NOW - 29 * DAY, NOW - 29 * DAY)],
            "budget",
            id="the month's budget is spent",
        ),
    ],
)
def test_nothing_is_recommended(
    policy: dict[str, Any], alarms: list[Alarm], broken: list[Stretch], earlier: list[Earlier], why: str
) -> None:
    assert recommend(Retrain(**policy), alarms, broken, earlier, NOW) == Held(why)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "alarms", "broken", "earlier"),
    [
        pytest.param({}, [alarm()], [], [], id="outcomes are worse"),
        pytest.param({}, [alarm(kind="drift.detected", cause="unexplained")], [], [], id="drift that harms"),
        pytest.param({"severity": "warning"}, [alarm(severity="warning")], [], [], id="as grave as the policy asks"),
        pytest.param({"after_s": 0.0}, [alarm(since=NOW)], [], [], id="at once where the policy says so"),
        pytest.param({"acknowledged": True}, [alarm(acknowledged=True)], [], [], id="a person has looked"),
        pytest.param(
            {}, [alarm(), alarm(id="b", kind="data.broken", acknowledged=True)], [], [], id="a known fault beside it"
        ),
        pytest.param({}, [alarm(since=NOW - DAY)], [Stretch(NOW - 3 * DAY, NOW - 2 * DAY)], [], id="mended before"),
        pytest.param({}, [alarm(since=NOW - DAY)], [Stretch(NOW - 2 * DAY, NOW - HOUR)], [], id="outlived the feed"),
        pytest.param({}, [alarm()], [], [Earlier(NOW - DAY, None, lost=True)] * 5, id="the earlier ones were lost"),
        pytest.param({}, [alarm()], [], [Earlier(NOW - MONTH_S, NOW - MONTH_S)] * 5, id="the month is over"),
        pytest.param({}, [alarm()], [], [Earlier(NOW - 7 * DAY, NOW - 7 * DAY)], id="cooled down"),
    ],
)
def test_retraining_is_recommended(
    policy: dict[str, Any], alarms: list[Alarm], broken: list[Stretch], earlier: list[Earlier]
) -> None:
    found = recommend(Retrain(**policy), alarms, broken, earlier, NOW)
    assert isinstance(found, Recommendation)
    assert found.alarm == alarms[0]
    assert (found.since, found.until) == (NOW - 90 * DAY, NOW)


def test_the_gravest_of_several_is_the_reason_and_outcomes_before_inputs() -> None:
    drift = alarm(id="d", kind="drift.detected", since=NOW - DAY)
    warning = alarm(id="w", severity="warning", since=NOW - 2 * DAY)
    found = recommend(Retrain(severity="warning"), [warning, drift, alarm()], [], [], NOW)
    assert isinstance(found, Recommendation)
    assert found.alarm.id == "a-1"


def test_broken_stretches_are_left_out_joined_and_within_the_window() -> None:
    stretches = [Stretch(50.0, None), Stretch(-5.0, 2.0), Stretch(10.0, 20.0), Stretch(15.0, 30.0), Stretch(-9.0, -7.0)]
    assert left_out(stretches, 0.0, 100.0) == ((0.0, 2.0), (10.0, 30.0), (50.0, 100.0))
    assert left_out([Stretch(120.0, None)], 0.0, 100.0) == ()


def test_what_to_leave_out_comes_with_the_recommendation() -> None:
    found = recommend(Retrain(window_s=DAY), [alarm()], [Stretch(NOW - 2 * DAY, NOW - 20 * HOUR)], [], NOW)
    assert isinstance(found, Recommendation)
    assert found.leave_out == ((NOW - DAY, NOW - 20 * HOUR),)
