from __future__ import annotations

import msgspec
import pytest

from sidecar.admin.health import health, readiness, sentence
from sidecar.standing import Alarm, ChallengerStatus, Divergence, RegistryStatus
from tests.admin.fake_reports import NOW, alarm, table
from tests.admin.fake_service import FakeService

WARNING = alarm(id="w", kind="drift.detected", severity="warning", says="hour moved; 0.2 nats", action="Look.")
INFO = alarm(id="i", kind="outcome.degraded", severity="info", says="a little worse", action="")


@pytest.mark.parametrize(
    ("alarms", "level", "word"),
    [
        ((), "good", "Healthy"),
        ((alarm(),), "bad", "Broken input"),
        ((WARNING, alarm()), "bad", "Broken input"),
        ((WARNING,), "warn", "Inputs moved"),
        ((INFO,), "info", "Quality fell"),
        ((alarm(explained_by="x"),), "good", "Healthy"),
    ],
)
def test_the_worst_alarm_is_said(alarms: tuple[Alarm, ...], level: str, word: str) -> None:
    service = FakeService()
    found = health(service.deployment("fraud"), alarms, service.drift("fraud", "training"))
    assert (found.level, found.word) == (level, word)


def test_several_alarms_are_counted_and_figures_left_out() -> None:
    service = FakeService()
    found = health(service.deployment("fraud"), (WARNING, INFO), service.drift("fraud", "training"))
    assert found.says == "hour moved (and 1 more)"
    assert sentence("a; b; c") == ("a", "b; c")


def test_what_harms_a_decision_is_said_where_no_caller_is_harmed() -> None:
    service = FakeService()
    status, drift = service.deployment("fraud"), service.drift("fraud", "training")
    other = Divergence(alias="c", registry="9", sidecar="3", since=NOW)
    split = msgspec.structs.replace(status, registry=RegistryStatus(reachable=True, diverged=True, divergence=other))
    assert health(split, (), drift).word == "Registry disagrees"
    assert health(split, (alarm(),), drift).word == "Broken input"
    sick = ChallengerStatus(version="5", url="u", fraction=1.0, enabled=True, health="unreachable")
    ill = msgspec.structs.replace(status, challengers=(sick,))
    assert health(ill, (), drift).word == "Challenger sick"
    assert health(msgspec.structs.replace(ill, shadow_enabled=False), (), drift).word == "Healthy"
    assert health(msgspec.structs.replace(status, unrecorded="wait"), (), drift).word == "Not recorded"


def test_nothing_that_watches_is_never_health() -> None:
    service = FakeService()
    drift = msgspec.structs.replace(service.drift("fraud", "training"), baseline_digest=None)
    for nothing in (drift, "There is none."):
        assert health(service.deployment("fraud"), (), nothing).level == "info"


def test_a_challenger_is_ready_only_where_every_gate_passes_and_copies_are_sent() -> None:
    status = FakeService().deployment("fraud").challengers[0]
    for verdict, word in (("pass", "Ready to promote"), ("fail", "Blocked"), ("insufficient", "Needs more data")):
        found = readiness(status, table("3", "4", verdict), shadow=True)  # type: ignore[arg-type]
        assert found.word == word
    assert [gate.name for gate in readiness(status, table("3", "4", "fail"), shadow=True).blocking] == ["inputs"]
    assert readiness(status, table("3", "4", "pass"), shadow=False).word == "Shadow off"
    assert readiness(status, "No gates today.", shadow=True).word == "Not judged"
    off = msgspec.structs.replace(table("3", "4", "pass"), verdict="off", gates=())
    assert readiness(status, off, shadow=True).level == "info"
