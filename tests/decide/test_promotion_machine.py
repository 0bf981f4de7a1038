"""The whole machine against a small model: whatever people and the machine try, in any order, at any time."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.canary import CanaryStep
from sidecar.config_promotion import Flaps, Promotion
from sidecar.decide.audit_chain import EMPTY, Deed, Head, seal
from sidecar.decide.automation import Past, waits
from sidecar.decide.canary import decide_canary, decide_step, decide_stop
from sidecar.decide.harm import Harm
from sidecar.decide.history import champion_at, champion_spans
from sidecar.decide.promotion import (
    MACHINE,
    Plan,
    Rollback,
    decide_override,
    decide_promotion,
    decide_rollback,
    decide_start,
    phase,
)
from sidecar.errors import Refused, SidecarError
from sidecar.standing import AuditEntry, DeploymentState, Target
from sidecar.wished import Wish
from tests.decide.decide_samples import NOW, table

VERSIONS = [str(number) for number in range(1, 7)]
KNOWN = {version: Target(f"http://127.0.0.1:90{version}0") for version in VERSIONS}
WATCH_S = 100.0
AUTO = Promotion(mode="auto", dwell_s=0.0, flaps=Flaps(most=2, within_s=1_000.0))
STEPS = tuple(CanaryStep(weight, 0.0, 1) for weight in (0.1, 0.3, 0.6))
versions = st.sampled_from(VERSIONS)
people = st.sampled_from(["ann", "bob"])


class Machine(RuleBasedStateMachine):
    """`state` and `trail` are the product's; what the model knows has names of its own."""

    @initialize()
    def start(self) -> None:
        self.now = NOW
        self.trail: list[AuditEntry] = []
        plan = decide_start(None, "fraud", "1", KNOWN["1"], self.now)
        assert plan is not None
        self.state: DeploymentState
        self.champions: list[str] = []
        self.watched_until = 0.0
        self.machine_moves: list[float] = []
        # Versions that the machine may not touch: it was champion, or a person said so.
        self.closed: set[str] = set()
        # Who answers which share beside the champion.
        self.canary: tuple[str, int] | None = None
        self.take(plan)

    def take(self, plan: Plan) -> None:
        """As the store does: only on the generation that the plan was made for."""
        if self.trail:
            assert plan.expected_generation == self.state.generation
        self.state = plan.state
        self.note(plan.action, plan.actor, plan.from_version, plan.to_version, plan.details)
        self.champions.append(plan.to_version)
        self.canary = None
        self.closed |= {plan.to_version} | ({plan.from_version} if plan.action == "rollback" else set())

    def note(self, action: str, actor: str, former: str | None, to: str, details: str = "{}") -> None:
        head = Head(self.trail[-1].seq, self.trail[-1].hash) if self.trail else EMPTY
        deed = Deed(
            at=self.now, actor=actor, action=action, deployment="fraud", from_version=former, to_version=to,
            reason="because", evidence=None, details=details,
        )  # fmt: skip
        self.trail.append(seal(head, deed))

    def change_canary(self, plan: Plan, canary: tuple[str, int] | None) -> None:
        assert plan.expected_generation == self.state.generation
        self.state, self.canary = plan.state, canary
        self.note(plan.action, plan.actor, plan.from_version, plan.to_version, plan.details)

    @rule(version=versions, actor=people | st.just(MACHINE), verdict=st.sampled_from(["pass", "fail", "insufficient"]))
    def somebody_begins_a_canary(self, version: str, actor: str, verdict: Any) -> None:
        judged = table(champion=self.state.champion, challenger=version, verdict=verdict)
        allowed = version != self.champions[-1] and verdict == "pass" and not self.canary and not self.watching
        try:
            plan = decide_canary(self.state, Wish(version, actor, "a few first"), judged, KNOWN, STEPS, now=self.now)
        except Refused:
            assert not allowed
            return
        assert allowed
        self.change_canary(plan, (version, 0))

    @rule(verdict=st.sampled_from(["pass", "fail", "insufficient"]), late=st.booleans())
    def the_machine_wants_the_next_step(self, verdict: Any, late: bool) -> None:
        """`late`: what it has judged is another canary by now."""
        seen = self.state.canary
        if seen is None or self.canary is None:
            assert seen is None
            assert self.canary is None
            return
        judged = table(champion=self.state.champion, challenger=seen.version, verdict=verdict)
        expected = msgspec.structs.replace(seen, step_since=seen.step_since - 1.0) if late else seen
        version, step = self.canary
        allowed = verdict == "pass" and not late and step + 1 < len(STEPS)
        try:
            plan = decide_step(self.state, expected, judged, MACHINE, "every gate passes", self.now)
        except Refused:
            assert not allowed
            return
        assert allowed
        self.change_canary(plan, (version, step + 1))

    @rule(version=st.none() | versions, actor=people | st.just(MACHINE))
    def somebody_stops_the_canary(self, version: str | None, actor: str) -> None:
        try:
            plan = decide_stop(self.state, version, actor, "not as good", self.now)
        except Refused:
            assert self.canary is None or version not in (None, self.canary[0])
            return
        assert self.canary is not None
        self.closed.add(self.canary[0])
        self.change_canary(plan, None)

    @property
    def watching(self) -> bool:
        return self.now < self.watched_until

    @rule(seconds=st.sampled_from([0.5, 30.0, WATCH_S, 2_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(version=versions, actor=people, verdict=st.sampled_from(["pass", "fail", "insufficient"]))
    def a_person_promotes(self, version: str, actor: str, verdict: Any) -> None:
        judged = table(champion=self.state.champion, challenger=version, verdict=verdict)
        command = Wish(version, actor, "better by far")
        allowed = version != self.state.champion and verdict == "pass"
        try:
            plan = decide_promotion(self.state, command, judged, KNOWN, now=self.now, watch_s=WATCH_S)
        except Refused:
            assert not allowed
            return
        assert allowed
        self.take(plan)
        self.watched_until = self.now + WATCH_S

    @rule(version=versions)
    def an_admin_overrides(self, version: str) -> None:
        command = Wish(version, "eve", "the champion leaks")
        try:
            plan = decide_override(self.state, command, None, KNOWN, now=self.now)
        except Refused:
            assert version == self.champions[-1]
            return
        self.take(plan)
        self.watched_until = 0.0

    @rule(actor=people, to=st.none() | versions)
    def a_person_rolls_back(self, actor: str, to: str | None) -> None:
        previous = self.state.previous
        try:
            plan = decide_rollback(self.state, Rollback(actor, "worse by far", to), KNOWN, self.now)
        except Refused:
            assert to == self.champions[-1] or (to is None and previous is None)
            return
        assert plan.to_version == (to or previous)
        self.take(plan)
        self.watched_until = 0.0

    @rule(version=versions, passes=st.booleans())
    def the_machine_wants_to_promote(self, version: str, passes: bool) -> None:
        says = waits(AUTO, Past(self.trail), version, 1.0 if passes else None, self.now)
        judged = table(champion=self.state.champion, challenger=version, verdict="pass" if passes else "fail")
        command = Wish(version, MACHINE, "every gate has passed", automatic=True)
        recent = [at for at in self.machine_moves if self.now - at < AUTO.flaps.within_s]
        allowed = passes and version not in self.closed and len(recent) <= AUTO.flaps.most - 2
        assert (says is None) == allowed, says
        if says is not None:
            return
        try:
            plan = decide_promotion(self.state, command, judged, KNOWN, now=self.now, watch_s=WATCH_S)
        except Refused:
            assert self.watching or version == self.champions[-1]
            return
        assert not self.watching
        self.take(plan)
        self.machine_moves.append(self.now)
        self.watched_until = self.now + WATCH_S

    @rule(late=st.booleans())
    def the_machine_finds_harm(self, late: bool) -> None:
        """`late`: what it found is about the champion before."""
        generation = self.state.generation - late
        found = Harm(
            champion=self.state.champion, generation=generation, test="errors", says="it alone fails", new_only=9,
            former_only=0, same=1, margin=0.0, log_e=9.0, needed=5.0,
        )  # fmt: skip
        if Past(self.trail).moves_left(AUTO.flaps, self.now) < 1:
            return
        command = Rollback(MACHINE, "it does harm", self.state.previous, harm=found)
        try:
            plan = decide_rollback(self.state, command, KNOWN, self.now)
        except SidecarError:
            assert late or not self.watching
            return
        assert self.watching
        assert not late
        assert plan.to_version == self.champions[-2]
        self.take(plan)
        self.machine_moves.append(self.now)
        self.watched_until = 0.0

    @rule(version=versions, actor=people, held=st.booleans())
    def a_person_holds_or_releases(self, version: str, actor: str, held: bool) -> None:
        self.note("hold" if held else "release", actor, None, version)
        if held:
            self.closed.add(version)
        else:
            self.closed.discard(version)

    @invariant()
    def one_champion_and_the_trail_tells_the_same(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.state.champion == self.champions[-1]
        assert self.state.generation == len(self.champions)
        expected = "canary" if self.canary else "watching" if self.watching else "steady"
        assert phase(self.state, self.now) == expected
        seen = self.state.canary
        assert self.canary == (None if seen is None else (seen.version, seen.step))
        assert seen is None or (seen.version != self.state.champion and seen.target == KNOWN[seen.version])
        assert self.state.champion_target == KNOWN[self.state.champion]
        now = champion_at(champion_spans(self.trail, "fraud"), self.now)
        assert now is not None
        assert now.version == self.state.champion

    @invariant()
    def the_machine_moves_no_more_often_than_it_may(self) -> None:
        for first in getattr(self, "machine_moves", []):
            within = [at for at in self.machine_moves if first <= at < first + AUTO.flaps.within_s]
            assert len(within) <= AUTO.flaps.most


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase
