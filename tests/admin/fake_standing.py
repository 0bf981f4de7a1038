"""How things stand with the fake control side: deployments, comparison, drift, gates; a test may change the fields."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from sidecar.canary import CanaryStatus, CanaryStep
from sidecar.errors import Unknown
from sidecar.records import LoggedHalf, OfflineRow, Outcome
from sidecar.reports import (
    ComparisonReport,
    ComparisonShape,
    DriftReport,
    GateTable,
    GateVerdict,
    Verdict,
)
from sidecar.standing import (
    ChallengerStatus,
    ChampionStatus,
    DeploymentStatus,
    Event,
    RegistryStatus,
)
from sidecar.watched import WatchStatus, WatchTest
from tests.admin.fake_record import FakeRecord
from tests.admin.fake_reports import EVIDENCE, NOW, bell, broken, categorical, comparison, numeric, shape, table

STEPS = (CanaryStep(0.05, 3600.0, 500), CanaryStep(0.25, 3600.0, 500), CanaryStep(0.5, 7200.0, 2000))


class FakeStanding:
    """`text` goes into every free text field."""

    def __init__(self, *, name: str = "fraud", text: str = "", broke: bool = False, calm: bool = False) -> None:
        self.name, self.text = name, text
        self.is_ready = True
        self.champion, self.challenger = ("4", "3") if broke else ("3", "4")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.posted: list[Outcome] = []
        self.queue: asyncio.Queue[Event] | None = None
        self.raises: BaseException | None = None
        self.verdict: Verdict = "fail" if broke else "pass" if calm else "insufficient"
        self.broke = broke
        self.registry = RegistryStatus(reachable=True, diverged=False)
        self.lineage = {self.challenger: {"data": f"payments-2025-11{text}", "code": "9f3c21d"}}
        self.verified = 0
        self.listening = 0
        self.halves: list[LoggedHalf] = []
        self.rows: list[OfflineRow] = []
        self.not_ours: list[str] = []
        self.record = FakeRecord(text)
        self.needed = 0  # people whom gate `approvals` asks for
        self.mode: Literal["manual", "auto"] = "manual"
        self.held: dict[str, str] = {}
        self.plan = "sha256:" + "9f" * 32
        self.steps: tuple[CanaryStep, ...] = ()
        self.trying = False  # a challenger is the canary

    def _named(self, name: str) -> None:
        if self.raises is not None:
            raise self.raises
        if name != self.name:
            raise Unknown(f"There is no deployment {name}.")

    def _against(self, challenger: str | None) -> str:
        if challenger not in (None, self.challenger):
            raise Unknown(f"There is no challenger {challenger}.")
        return challenger or self.challenger

    def remarks(self) -> tuple[str, ...]:
        return ()

    def waits(self) -> str | None:
        return None if self.is_ready else "No worker routes traffic yet; ask again in a moment."

    def deployments(self) -> tuple[DeploymentStatus, ...]:
        return (self.deployment(self.name),)

    def deployment(self, name: str) -> DeploymentStatus:
        self._named(name)
        return DeploymentStatus(
            name=name,
            owner=f"risk-ml@example.com{self.text}",
            generation=2 if self.broke else 1,
            state="canary" if self.trying else "watching" if self.broke else "steady",
            canary=self.canary(name) if self.trying else None,
            canary_steps=self.steps,
            champion=ChampionStatus(
                version=self.champion, url="http://127.0.0.1:8000", since=NOW - (640 if self.broke else 864_000)
            ),
            previous=self.challenger if self.broke else None,
            challengers=(
                ChallengerStatus(
                    version=self.challenger, url="http://127.0.0.1:8001", fraction=1.0, enabled=True, health="healthy"
                ),
            ),
            registry=self.registry,
            config_differs=self.broke,
            watch_until=NOW + 1160 if self.broke else None,
            lineage=self.lineage,
            mode=self.mode,
            held=self.held,
            watch=self._watch() if self.broke else None,
        )

    def canary(self, name: str) -> CanaryStatus:
        self._named(name)
        return CanaryStatus(
            version=self.challenger,
            weight=0.05,
            step=1,
            steps=STEPS,
            since=NOW - 60,
            step_since=NOW - 60,
            verdict=self.verdict,
            gates=table(self.champion, self.challenger, self.verdict).gates,
            waits=f"step 1 of 2{self.text}",
        )

    def _watch(self) -> WatchStatus:
        tests = (
            WatchTest(name="errors", new_only=7, former_only=2, same=18_231, margin=0.001, e_value=0.4, needed=200.0),
            WatchTest(name="outcome", new_only=31, former_only=9, same=372, margin=0.005, e_value=61.0, needed=200.0),
        )
        return WatchStatus(until=NOW + 1160, former=self.challenger, rollback="auto", excused=True, tests=tests)

    def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
        self._named(name)
        self._against(challenger)
        return comparison(self.text)

    def comparison_shape(self, name: str, challenger: str | None) -> ComparisonShape:
        self._named(name)
        self._against(challenger)
        return shape()

    def drift(self, name: str, against: Literal["training", "recent"]) -> DriftReport:
        self._named(name)
        features = [
            broken(self.text) if self.broke else numeric(f"amount{self.text}"),
            numeric("age_days", missing=0.012, live_counts=(*bell(24, 12, 5, 700), 60, 0)),
            categorical("currency", live_counts=(640, 220, 90, 22, 3, 14, 0, 0), unseen=0.014),
            numeric("hour"),
            numeric("merchant_risk"),
            numeric("distance_km", n=0, psi=None, live_counts=(0,) * 26),
        ]
        return DriftReport(
            against=against,
            baseline_model="fraud",
            baseline_version=self.champion,
            baseline_digest=EVIDENCE,
            rows_seen=24_110,
            rows_sampled=18_240,
            undecodable=0,
            severity="critical" if self.broke else "none",
            features=tuple(features),
            prediction=numeric("score", live_counts=(*bell(24, 9 if self.broke else 12, 5, 700), 0, 0)),
        )

    def gates(self, name: str, challenger: str | None) -> GateTable:
        self._named(name)
        made = table(self.champion, self._against(challenger), self.verdict, self.text)
        if not self.needed:
            return made
        policy = {"min": self.needed, "valid_s": 86_400.0}
        asked = GateVerdict(
            name="approvals", verdict="pass", observed=1.0, required=self.needed, n=1, detail="bob", policy=policy
        )
        return msgspec.structs.replace(made, gates=(*made.gates, asked))
