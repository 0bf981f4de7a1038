"""What becomes of a canary: by which gates its steps are judged, what ends it, what the trail is told."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from zlib import crc32

import msgspec
import pytest

from sidecar.canary import CanaryStep
from sidecar.config import Settings
from sidecar.config_gates import Gates
from sidecar.config_promotion import Promotion
from sidecar.decide.canary import UNWELL_S, decide_canary, decide_step, decide_stop, next_of, step_gates, steps_of
from sidecar.decide.gates import judge
from sidecar.decide.routing import route, routing_table
from sidecar.decide.routing_table import canary_point, copied
from sidecar.errors import Invalid, Refused, SidecarError
from sidecar.reports import GateTable, GateVerdict
from sidecar.wished import Wish
from tests.control.live_samples import deployment
from tests.decide.decide_samples import CANARY, KNOWN, NOW, evidence, state, table

LAST = msgspec.structs.replace(CANARY, step=1)


def judged(**verdicts: Any) -> GateTable:
    gates = tuple(
        GateVerdict(name=name, verdict=verdict, observed=1, required=2, n=3, detail="so it is")
        for name, verdict in verdicts.items()
    )
    order = ("fail", "insufficient", "pass")
    return table(verdict=min((*verdicts.values(), "pass"), key=order.index), gates=gates)


PASS = judged(errors="pass")


@pytest.mark.parametrize(
    ("canary", "over_step", "whole", "unwell_s", "expected", "says"),
    [
        (CANARY, PASS, PASS, 0.0, "step", "step 1 of 2 (0.05 of the requests) has passed every gate"),
        (LAST, PASS, PASS, 0.0, "passed", "step 2 of 2 (0.5 of the requests) has passed"),
        (CANARY, judged(pairs="insufficient"), PASS, 0.0, "wait", "gate pairs waits: so it is"),
        (CANARY, judged(pairs="insufficient", errors="fail"), PASS, 0.0, "stop", "gate errors fails: so it is"),
        (CANARY, PASS, judged(outcome="fail"), 0.0, "stop", "gate outcome fails"),
        # What all evidence still waits for holds no step up: the promotion asks for it.
        (CANARY, PASS, judged(outcome="insufficient"), 0.0, "step", "has passed"),
        # A broken input is nobody's fault: nothing goes on, and nothing ends.
        (CANARY, judged(inputs="fail"), judged(inputs="fail"), 0.0, "wait", "gate inputs waits"),
        (CANARY, judged(inputs="fail", errors="fail"), PASS, 0.0, "stop", "gate errors fails"),
        (CANARY, judged(pairs="insufficient"), PASS, UNWELL_S - 1, "wait", "gate pairs"),
        (CANARY, judged(pairs="insufficient"), PASS, UNWELL_S, "stop", "not answered properly for 30 s"),
    ],
)
def test_what_becomes_of_it(
    canary: Any, over_step: GateTable, whole: GateTable, unwell_s: float, expected: str, says: str
) -> None:
    what, why = next_of(canary, over_step, whole, unwell_s)
    assert what == expected
    assert says in why


def test_a_step_is_judged_by_the_gates_on_traffic_with_its_own_least_evidence() -> None:
    step = CanaryStep(0.05, 7_200.0, 300)
    settings = step_gates(Gates.model_validate({"agreement": {"min": 0.7}, "latency": "off"}), step)
    off = {name for name, policy in settings if policy is False}
    assert off == {"outcome", "calibration", "segments", "lineage", "approvals", "latency"}
    found = {gate.name: gate for gate in judge(settings, evidence(mirrored_s=7_000.0, pairs=299), NOW).gates}
    assert (found["pairs"].verdict, found["pairs"].required) == ("insufficient", 300)
    assert (found["duration"].verdict, found["duration"].required) == ("insufficient", 2.0)
    assert found["agreement"].required == 0.7
    assert judge(settings, evidence(mirrored_s=7_300.0, pairs=300), NOW).verdict == "pass"


def test_pairs_and_duration_are_asked_for_though_they_are_off_for_a_promotion() -> None:
    settings = step_gates(Gates.model_validate({"pairs": "off", "duration": "off"}), CANARY.now)
    assert judge(settings, evidence(mirrored_s=0.0, pairs=0), NOW).verdict == "insufficient"


def begin(stored: Any = None, judged: Any = None, steps: Any = CANARY.steps, **wishes: Any) -> Any:
    command = Wish(**{"challenger": "4", "actor": "ann", "reason": "a few first"} | wishes)
    return decide_canary(stored or state(), command, judged or table(), KNOWN, steps, now=NOW)


def test_it_begins_with_the_first_step_and_moves_no_champion() -> None:
    plan = begin(state(watch_until=NOW - 1))
    assert plan.state.canary == msgspec.structs.replace(CANARY, since=NOW, step_since=NOW)
    assert (plan.state.champion, plan.state.generation, plan.expected_generation) == ("3", 5, 5)
    assert (plan.action, plan.from_version, plan.to_version, plan.evidence) == ("canary_start", "3", "4", "sha256:e1")
    assert json.loads(plan.details)["canary"] == {"step": 1, "steps": 2, "weight": 0.05}


@pytest.mark.parametrize(
    ("stored", "changes", "says"),
    [
        ({}, {"judged": table(verdict="insufficient")}, "may not be promoted"),
        ({}, {"steps": ()}, "no steps"),
        ({}, {"challenger": "9"}, "has no version 9"),
        ({}, {"challenger": "3"}, "is the champion already"),
        ({}, {"expected_champion": "2"}, "not 2 as expected"),
        ({}, {"evidence": "sha256:other"}, "evidence has changed"),
        ({}, {"reason": "x"}, "3 to 500 characters"),
        ({"canary": CANARY}, {}, "is the canary already"),
        ({"watch_until": NOW + 1}, {}, "is watching: no canary start happens then"),
    ],
)
def test_what_is_refused(stored: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SidecarError, match=says):
        begin(state(**stored), **changes)


def test_a_step_and_an_end_tell_the_trail_what_was_found() -> None:
    stored = state(canary=CANARY)
    plan = decide_step(stored, CANARY, PASS, "sidecar", "every gate passes", NOW)
    assert plan.state.canary == msgspec.structs.replace(CANARY, step=1, step_since=NOW)
    told = json.loads(plan.details)
    assert (told["canary"], told["verdict"]) == ({"step": 2, "steps": 2, "weight": 0.5}, "pass")
    end = decide_stop(plan.state, "4", "sidecar", "gate errors fails", NOW, {"verdict": "fail"}, plan.state.canary)
    assert end.state == state()
    assert (end.from_version, end.to_version, json.loads(end.details)["verdict"]) == ("4", "3", "fail")
    with pytest.raises(Refused, match="not what was judged"):
        decide_stop(plan.state, "4", "sidecar", "gate errors fails", NOW, expected=CANARY)
    with pytest.raises(Refused, match="nothing to abort"):
        decide_stop(end.state, None, "ann", "once more", NOW)
    with pytest.raises(Invalid):
        decide_stop(stored, None, "ann", "", NOW)


def test_steps_come_from_the_settings_and_rise() -> None:
    named = Promotion.model_validate({"canary": {"steps": [{"weight": 0.05}, {"weight": 0.5, "min_pairs": 9}]}})
    assert steps_of(named) == (CanaryStep(0.05, 3_600.0, 500), CanaryStep(0.5, 3_600.0, 9))
    for weights in ([0.5, 0.5], [0.5, 0.1], [0.0], [1.0]):
        with pytest.raises(ValueError, match="weight"):
            Promotion.model_validate({"canary": {"steps": [{"weight": weight} for weight in weights]}})


def test_the_table_has_its_share_only_where_the_settings_name_it_as_it_began() -> None:
    named = deployment()
    url = named.challengers[0].url
    canary = msgspec.structs.replace(CANARY, target=msgspec.structs.replace(CANARY.target, url=url))
    settings = Settings(deployments=(named,))
    stored = state(canary=canary)
    made = route(named, stored, settings)
    assert made.canary is not None
    assert (made.canary.version, made.canary.weight, made.canary.salt) == ("4", 0.05, canary.salt)
    assert (made.canary.champion.to, made.canary.champion.fraction) == (made.champion, 1.0)
    assert made.canary.champion.timeout_s == settings.timeouts.answer_s
    assert route(named, stored, settings, enabled=False).canary is None
    elsewhere = named.model_copy(update={"challengers": ()})
    assert route(elsewhere, stored, settings).canary is None
    moved = msgspec.structs.replace(canary, target=msgspec.structs.replace(canary.target, path="/elsewhere"))
    assert route(named, state(canary=moved), settings).canary is None
    assert routing_table(settings, {"fraud": state()}, 1).routes[0].canary is None


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_the_share_is_as_large_as_it_says_and_independent_of_copies_and_of_other_canaries(weight: float) -> None:
    keys = [b"%016x-%08x" % (0x1234567890ABCDEF, number) for number in range(20_000)]
    salts = [crc32(b"fraud\n4\n5"), crc32(b"fraud\n4\n6")]
    mine = [[canary_point(key, salt) < weight * 2**32 for key in keys] for salt in salts]
    sampled = [copied(key, weight) for key in keys]
    for one in mine:
        assert sum(one) == pytest.approx(weight * len(keys), abs=5 * (len(keys) * weight) ** 0.5)
    for one, other in ((mine[0], mine[1]), (mine[0], sampled)):
        both = Counter(zip(one, other, strict=True))[True, True]
        assert both == pytest.approx(weight**2 * len(keys), abs=5 * (weight**2 * len(keys)) ** 0.5)
