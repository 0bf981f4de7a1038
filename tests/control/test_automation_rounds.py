"""The machine's rounds: each deployment by itself, and by a clock that may be set back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sidecar.control import automation
from sidecar.control.automation import Automation
from sidecar.errors import Unavailable
from tests.control.live_samples import NOW

NAMES = ("fraud", "loans", "churn")


class Ground:
    def __init__(self) -> None:
        self.now, self.looked = NOW, list[str]()
        watches = {name: SimpleNamespace(state=SimpleNamespace(generation=1)) for name in NAMES}
        self.automation = Automation(
            cast("Any", None),
            cast("Any", None),
            verbs=cast("Any", None),
            watches=cast("Any", watches),
            alarms=cast("Any", None),
            clock=lambda: self.now,
            announcer=cast("Any", None),
        )


async def test_one_that_cannot_be_looked_at_hides_no_other_ones_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground()

    async def look_at(name: str, *_: Any) -> None:
        ground.looked.append(name)
        if name == "fraud":
            raise Unavailable("the trail cannot be read")

    monkeypatch.setattr(ground.automation, "_look_at", look_at)
    with pytest.raises(Unavailable, match="cannot be read"):
        await ground.automation.round()
    assert ground.looked == list(NAMES)


@pytest.mark.parametrize(
    ("later_s", "waits"), [(0.0, True), (automation.RETRY_S - 1, True), (automation.RETRY_S, False), (-3_600.0, False)]
)
def test_what_was_refused_waits_half_a_minute_also_where_the_clock_is_set_back(later_s: float, waits: bool) -> None:
    ground = Ground()
    assert not ground.automation._tried_just_now("fraud", NOW)
    ground.automation._waits["fraud"] = {}
    ground.automation._refused("fraud", "4", "no answer", NOW)
    assert ground.automation._tried_just_now("fraud", NOW + later_s) is waits
