"""The control process, wired. Started by the supervisor as `python -m sidecar.app.control`.

Traffic does not need it: whatever happens here, the workers go on by their last table.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from registry_client.client import open_registry
from registry_client.errors import RegistryError
from sidecar.admin.api import build_app
from sidecar.admin.auth import AuthToken, auth_token
from sidecar.app.stopping import stop_when_told
from sidecar.config import Settings
from sidecar.config_file import ConfigFaults, load
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.controller import Controller
from sidecar.control.database import StoreError
from sidecar.control.decisions import Decisions
from sidecar.control.desk import Desk
from sidecar.control.intake import Intake
from sidecar.control.outbox import Outbox
from sidecar.control.probe import probe
from sidecar.control.publisher import Publisher
from sidecar.control.registry_sync import ALIAS_MOVE, RegistrySync
from sidecar.control.rounds import Rounds
from sidecar.control.store import Store
from sidecar.control.watch import DeploymentWatch
from sidecar.errors import SidecarError
from sidecar.records import Exchange, WorkerCounts
from sidecar.reports import OutcomeCounts
from sidecar.standing import DeploymentState
from sidecar.telemetry.counts import WorkerTotals
from sidecar.telemetry.logs import configure
from sidecar.telemetry.metrics import DeploymentFacts, Facts, SidecarCollector, render

log = logging.getLogger("sidecar.control")


class CannotStart(Exception):
    """Control cannot run with what it was given. The message is one sentence for people."""


class Control:
    """Every part of the control process; `open` to `close` is its life."""

    def __init__(self, config_path: Path, settings: Settings, link: str, table: Path) -> None:
        self._config_path = config_path
        self._settings = settings
        self._link = link
        self._table = table
        self._tokens = _tokens(settings)
        self._watches: dict[str, DeploymentWatch] = {}
        self._totals = WorkerTotals()
        self._announcer = Announcer()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, admin: socket.socket) -> None:
        """Opens what is on disk, begins the watches, publishes the table, and serves."""
        settings = self._settings
        state_dir = Path(settings.state_dir)
        self._store = await Store.open(state_dir)
        self._decisions = await Decisions.open(state_dir)
        self._registry = RegistrySync(open_registry(settings.registry.uri) if settings.registry else None)
        self._alarms = AlarmBook(await self._store.carryover.alarms(ended_after=time.time() - 86_400.0))
        self._intake = Intake(self._link, self._fold, self._count, self._totals.ended)
        self._publisher = Publisher(self._table, lambda: self._settings, self._store.carryover, self._intake)
        self._desk = Desk(
            settings=lambda: self._settings,
            store=self._store,
            decisions=self._decisions,
            registry=self._registry,
            watches=self._watches,
            alarms=self._alarms,
            announcer=self._announcer,
            acknowledged=self._intake.acknowledged,
            clock=time.time,
        )
        outbox = Outbox(self._store.database, {ALIAS_MOVE: self._registry.move_alias}, time.time)
        self._controller = self._desk.controller = Controller(
            self._store,
            deployments=self._desk.named,
            gate_table=self._desk.gates,
            probe=probe,
            publish=self._publish,
            clock=time.time,
            deliveries=self._registry.deliveries,
            wake=outbox.wake,
        )
        self._rounds = Rounds(
            deployments=self._desk.named,
            watches=self._watches,
            gate_table=self._desk.gates,
            alarms=self._alarms,
            announcer=self._announcer,
            carryover=self._store.carryover,
            decisions=self._decisions,
            registry=self._registry,
            clock=time.time,
        )
        await self._intake.open()
        await self._controller.start()
        await self._carry_on()
        collector = SidecarCollector(self._facts)
        app = build_app(
            self._desk,
            tokens=self._tokens,
            metrics_text=lambda: render(collector),
            metrics_open=settings.admin.metrics == "open",
            listen_host=settings.admin_address.host,
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, admin).start()
        self._tasks = [
            asyncio.create_task(self._rounds.run(), name="rounds"),
            asyncio.create_task(outbox.run(), name="outbox"),
        ]

    async def _carry_on(self) -> None:
        """Baselines first, since evidence belongs to one; then what the last run knew; then outcomes from disk."""
        await self._rounds.ask_registry()
        for name, watch in self._watches.items():
            try:
                watch.restore(await self._store.carryover.snapshots(name))
            except ValueError as error:
                log.warning("evidence begins anew", extra={"fields": {"deployment": name, "says": str(error)}})
        async for joined in self._decisions.matched():
            if joined.deployment in self._watches:
                self._watches[joined.deployment].fold_joined(joined)
        for name, watch in self._watches.items():
            for coverage in await self._decisions.coverage(name):
                watch.quality.fold_predicted(coverage.champion, coverage.decided)

    async def reload(self) -> None:
        """SIGHUP: routes, challengers, limits, gates and tokens' names from the file; a bad file changes nothing."""
        try:
            settings = load(self._config_path)
        except ConfigFaults as faults:
            log.error("the configuration was not reloaded", extra={"fields": {"says": str(faults)}})  # noqa: TRY400
            return
        fixed = ("listen", "workers", "state_dir", "admin", "registry")
        ignored = [key for key in fixed if getattr(settings, key) != getattr(self._settings, key)]
        if ignored:
            log.warning("these need a restart", extra={"fields": {"keys": ", ".join(ignored)}})
        self._settings = settings
        await self._controller.start()
        await self._rounds.ask_registry()
        log.info("the configuration was reloaded")

    async def close(self) -> None:
        """Keeps what it knows and lets go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self._intake.close()
        try:
            await self._rounds.save()
            await self._decisions.close()
        except SidecarError as error:
            log.warning("not everything was kept", extra={"fields": {"says": str(error)}})
        await self._store.close()

    # --- what the parts tell each other ----------------------------------------------------------------------

    def _fold(self, exchange: Exchange) -> None:
        watch = self._watches.get(exchange.deployment)
        if watch is not None:
            self._decisions.record(watch.fold(exchange))

    def _count(self, counts: WorkerCounts) -> None:
        self._totals.update(counts)
        for shadow in counts.shadows:
            watch = self._watches.get(shadow.deployment)
            if watch is not None:
                watch.fold_counts(counts.worker, shadow)

    async def _publish(self, states: Mapping[str, DeploymentState]) -> None:
        """The table goes out first; then evidence begins anew wherever the generation or the settings changed."""
        settings, now = self._settings, time.time()
        named = {d.name: d for d in settings.deployments}
        try:
            acknowledged = await self._publisher.publish({n: s for n, s in states.items() if n in named})
            if self._tasks and not acknowledged:
                log.warning("not every worker has taken the routing table yet")
        except OSError as error:
            log.warning("the routing table is not on disk", extra={"fields": {"says": str(error.strerror)}})
        for name in [name for name in self._watches if name not in named]:
            del self._watches[name]
        for name, deployment in named.items():
            state, watch = states[name], self._watches.get(name)
            baseline = self._registry.baseline(name, state.champion)
            if watch is None:
                self._watches[name] = DeploymentWatch(deployment, state, baseline, now)
            elif watch.state.generation != state.generation or watch.deployment != deployment:
                watch.begin(deployment, state, baseline, now)

    def _facts(self) -> Facts:
        outcomes = OutcomeCounts(**self._desk.outcome_counts)
        facts = []
        for name, watch in self._watches.items():
            now = time.time()
            agreements = {v: c.report(now).agreement for v, c in watch.comparisons.items()}
            drift = watch.drift()
            facts.append(
                DeploymentFacts(
                    deployment=name,
                    champion=watch.state.champion,
                    challengers=tuple(watch.comparisons),
                    generation=watch.state.generation,
                    rows_sampled=drift.rows_sampled,
                    drift=(drift,),
                    gates=tuple(self._desk.gates(name, challenger) for challenger in watch.comparisons),
                    agreement={v: a.value if a is not None else None for v, a in agreements.items()},
                    transitions=dict(self._desk.transitions[name]),
                    outcomes=outcomes,
                    alarms=self._alarms.open(name),
                )
            )
        return Facts(tuple(facts), self._totals.totals())


def _tokens(settings: Settings) -> tuple[AuthToken, ...]:
    """The tokens, their secrets read from the environment. Raises CannotStart."""
    found = []
    for token in settings.admin.tokens:
        secret = os.environ.get(token.token_env, "")
        if not secret:
            raise CannotStart(f"admin.tokens: {token.name}'s secret is missing: set the variable {token.token_env}")
        found.append(auth_token(token.name, token.role, secret))
    return tuple(found)


async def serve(config_path: Path, admin_fd: int, link: str, table: Path) -> None:
    """Runs until told to stop."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    stop_when_told(loop, stopping)
    control = Control(config_path, load(config_path), link, table)
    await control.open(socket.socket(fileno=admin_fd))
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(control.reload(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
    await stopping.wait()
    await control.close()


def main() -> int:
    """The process. 2 with one sentence on standard error when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.control")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--admin-fd", type=int, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--table", type=Path, required=True)
    given = parser.parse_args()
    configure("control")
    try:
        asyncio.run(serve(given.config, given.admin_fd, given.link, given.table))
    except (CannotStart, ConfigFaults, StoreError, RegistryError, SidecarError) as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
