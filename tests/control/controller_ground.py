"""Everything around a controller, played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

from sidecar.config import Deployment
from sidecar.control.controller import Controller
from sidecar.control.store import Delivery, Store
from sidecar.decide.promotion import Plan
from sidecar.reports import GateTable
from sidecar.standing import DeploymentState, Target, Transition
from sidecar.wished import Wish
from tests.control.store_samples import NOW

URLS = {"3": "http://127.0.0.1:8030", "4": "http://127.0.0.1:8040", "5": "http://127.0.0.1:8050"}


def deployment(name: str = "fraud", **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": name,
        "champion": {"version": "3", "url": URLS["3"]},
        "challengers": [{"version": version, "url": URLS[version]} for version in ("4", "5")],
    }
    return Deployment.model_validate(fields | changes)


class World:
    """Everything around a controller, played by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deployments = {"fraud": deployment(), "other": deployment("other")}
        self.verdict = "pass"
        self.published: list[dict[str, str]] = []
        self.probed: list[str] = []
        self.silent: set[str] = set()
        self.woken = 0
        self.judged = 0
        self.turns_after = 1_000
        self.slow = asyncio.Event()
        self.slow.set()

    def controller(self, store: Store) -> Controller:
        return Controller(
            store,
            deployments=lambda: self.deployments,
            gate_table=self.gate_table,
            probe=self.probe,
            publish=self.publish,
            clock=lambda: NOW,
            deliveries=self.deliveries,
            wake=self.wake,
        )

    def gate_table(self, name: str, challenger: str) -> GateTable:
        self.judged += 1
        verdict = "fail" if self.judged > self.turns_after else self.verdict
        fields: dict[str, Any] = {"verdict": verdict, "evidence": "sha256:e", "gates": ()}
        return GateTable(deployment=name, champion="3", challenger=challenger, **fields)

    async def probe(self, target: Target) -> str | None:
        self.probed.append(target.url)
        return "connection refused" if target.url in self.silent else None

    async def publish(self, states: Mapping[str, DeploymentState]) -> None:
        await self.slow.wait()
        self.published.append({name: state.champion for name, state in states.items()})

    def deliveries(self, plan: Plan) -> tuple[Delivery, ...]:
        if plan.action == "start":
            return ()
        return (Delivery("registry.alias", plan.state.deployment, plan.to_version),)

    def wake(self) -> None:
        self.woken += 1


def promote(controller: Controller, challenger: str = "4", **changes: Any) -> Awaitable[Transition]:
    wish = Wish(**{"challenger": challenger, "actor": "alice", "reason": "better by far"} | changes)
    return controller.promote("fraud", wish)


def rollback(controller: Controller, **changes: Any) -> Awaitable[Transition]:
    wishes: dict[str, Any] = {
        "actor": "bob",
        "reason": "worse by far",
        "to": None,
        "force": False,
        "idempotency_key": None,
    }
    return controller.rollback("fraud", **wishes | changes)


Set = tuple[World, Store, Controller]
