"""The control process, wired. Started by the supervisor as `python -m sidecar.app.control`.

Traffic does not need it: whatever happens here, the workers go on by their last table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from registry_client.client import open_registry
from registry_client.errors import RegistryError
from sidecar.admin.api import build_app
from sidecar.app.memory import within_machine
from sidecar.app.reloading import reloaded
from sidecar.app.scrape import Scrape
from sidecar.app.stopping import stop_when_told
from sidecar.app.tokens import CannotStart, tokens_of
from sidecar.app.tracing import LAST_SPANS_S, spans_of, where_in
from sidecar.config import Settings
from sidecar.config_file import ConfigFaults, load, read_challenger
from sidecar.config_versions import Challenger
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.challengers import Challengers
from sidecar.control.controller import Controller
from sidecar.control.decisions import KEEP_S, Decisions
from sidecar.control.desk import Desk
from sidecar.control.intake import Intake
from sidecar.control.outbox import Outbox
from sidecar.control.probe import probe
from sidecar.control.publisher import Publisher
from sidecar.control.registry_sync import ALIAS_MOVE, RegistrySync
from sidecar.control.rounds import Rounds
from sidecar.control.store import Store
from sidecar.control.watches import Watches
from sidecar.decide.routing import trust_of
from sidecar.errors import Invalid, SidecarError
from sidecar.records import Exchange
from sidecar.standing import DeploymentState, Target
from sidecar.telemetry.counts import WorkerTotals
from sidecar.telemetry.logs import configure
from sidecar.telemetry.metrics import SidecarCollector, render

log = logging.getLogger("sidecar.control")

# Decisions are kept for the outcomes' window and this long: what comes too late is still told from an orphan.
_BEYOND_WINDOW_S = 7 * 86_400.0
_ALARMS_KEPT_S = 86_400.0
_CALLERS_END_S = 3.0


class Control:
    """Every part of the control process; `open` to `close` is its life."""

    def __init__(self, config_path: Path, settings: Settings, link: str, table: Path) -> None:
        self._config_path = config_path
        self._settings = settings
        self._link = link
        self._table = table
        self._tokens = tokens_of(settings)
        self._totals = WorkerTotals()
        self._announcer = Announcer()
        self._opened = contextlib.AsyncExitStack()
        self._started = False

    async def open(self, admin: socket.socket) -> None:
        """Opens what is on disk, begins the watches, publishes the table, and serves; or raises, and holds nothing."""
        try:
            await self._open(admin)
        except BaseException:
            await self._opened.aclose()
            raise

    async def _open(self, admin: socket.socket) -> None:
        await self._open_stores()
        self._wire()
        self._opened.push_async_callback(self._keep)
        await self._challengers.start()
        await self._controller.start()
        await self._carry_on()
        # Only now: what a worker sends before would be counted into evidence that the last run's then replaces.
        await self._intake.open()
        self._opened.callback(self._intake.close)
        await self._serve(admin)
        tasks = [
            asyncio.create_task(self._rounds.run(), name="rounds"),
            asyncio.create_task(self._outbox.run(), name="outbox"),
        ]
        self._tasks = tuple(tasks)
        self._opened.push_async_callback(self._end_tasks)
        self._started = True

    async def _open_stores(self) -> None:
        settings, state_dir = self._settings, Path(self._settings.state_dir)
        self._store = await Store.open(state_dir, os.getppid())  # who wants the folder must stop the supervisor
        self._opened.push_async_callback(self._store.close)
        keep_s = max(KEEP_S, settings.outcomes.window_s + _BEYOND_WINDOW_S)
        self._decisions = await Decisions.open(state_dir, keep_s=keep_s)
        self._opened.push_async_callback(_kept, self._decisions.close)
        self._alarms = AlarmBook(await self._store.carryover.alarms(ended_after=time.time() - _ALARMS_KEPT_S))
        self._registry = RegistrySync(None)
        if settings.registry is not None:
            registry = open_registry(settings.registry.uri)
            self._opened.push_async_callback(registry.close)
            self._registry = RegistrySync(registry)
        self._watches = Watches(self._decisions, self._registry, self._totals, time.time)
        self._spans = spans_of(settings, where_in(self._watches.known))
        if self._spans is not None:
            self._opened.push_async_callback(self._spans.close, LAST_SPANS_S)

    def _wire(self) -> None:
        """Every part by its constructor; nothing runs yet."""
        watches = self._watches.known
        self._intake = Intake(self._link, self._fold, self._watches.count, self._watches.left)
        self._outbox = Outbox(self._store.database, {ALIAS_MOVE: self._registry.move_alias}, time.time)
        self._desk = Desk(
            settings=lambda: self._settings,
            store=self._store,
            decisions=self._decisions,
            registry=self._registry,
            watches=watches,
            alarms=self._alarms,
            announcer=self._announcer,
            ready=self._intake.ready,
            clock=time.time,
        )
        self._controller = self._desk.controller = Controller(
            self._store,
            deployments=self._desk.named,
            gate_table=self._desk.gates,
            probe=self._probe,
            publish=self._publish,
            clock=time.time,
            settle=self._settle,
            deliveries=self._registry.deliveries,
            wake=self._outbox.wake,
        )
        self._challengers = self._desk.challengers = Challengers(
            self._store,
            self._controller.turns,
            deployments=lambda: {deployment.name: deployment for deployment in self._settings.deployments},
            states=lambda: self._controller.states,
            read=self._read_challenger,
            clock=time.time,
        )
        self._publisher = Publisher(
            self._table, self._in_force, self._store.carryover, self._intake, self._challengers.switched_off
        )
        self._rounds = Rounds(
            deployments=self._desk.named,
            watches=watches,
            gate_table=self._desk.gates,
            alarms=self._alarms,
            announcer=self._announcer,
            carryover=self._store.carryover,
            decisions=self._decisions,
            registry=self._registry,
            keep_table=self._publisher.keep,
            attempt=self._intake.attempt,
            clock=time.time,
        )

    async def _carry_on(self) -> None:
        """Baselines first, since evidence belongs to one; then what the last run knew; then outcomes from disk."""
        await self._rounds.ask_registry()
        for name, watch in self._watches.known.items():
            for fault in watch.restore(await self._store.carryover.snapshots(name)):
                log.warning("evidence begins anew", extra={"fields": {"deployment": name, "says": fault}})
        async for joined in self._decisions.matched():
            if joined.deployment in self._watches.known:
                self._watches.known[joined.deployment].fold_joined(joined)
        for name, watch in self._watches.known.items():
            for coverage in await self._decisions.coverage(name):
                watch.quality.fold_predicted(coverage.champion, coverage.decided)
        # What is broken is known before the first exchange comes.
        with contextlib.suppress(SidecarError):
            await self._rounds.round()

    async def _serve(self, admin: socket.socket) -> None:
        settings = self._settings
        scrape = Scrape(
            self._watches.known,
            self._desk,
            self._alarms,
            totals=self._totals,
            intake=self._intake,
            decisions=self._decisions,
            spans=lambda: self._spans.counts if self._spans is not None else {},
        )
        collector = SidecarCollector(lambda: scrape.facts(time.time()))
        app = build_app(
            self._desk,
            tokens=self._tokens,
            metrics_text=lambda: render(collector),
            metrics_open=settings.admin.metrics == "open",
            listen_host=settings.admin_address.host,
            allowed_hosts=settings.admin.hosts,
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CALLERS_END_S)
        await runner.setup()
        self._opened.push_async_callback(runner.cleanup)
        await web.SockSite(runner, admin).start()

    async def reload(self) -> None:
        """SIGHUP: all but what needs a restart counts from the file; a bad file changes nothing."""
        try:
            read = await asyncio.to_thread(load, self._config_path)
        except ConfigFaults as faults:
            log.error("the configuration was not reloaded", extra={"fields": {"says": str(faults)}})  # noqa: TRY400
            return
        self._settings, waiting = reloaded(self._settings, read)
        if waiting:
            log.warning("these need a restart", extra={"fields": {"keys": ", ".join(waiting)}})
        try:
            await self._challengers.start()
            await self._controller.start()
        except SidecarError as error:
            log.error("a new deployment waits for the next reload", extra={"fields": {"says": str(error)}})  # noqa: TRY400
        await self._rounds.ask_registry()
        log.info("the configuration was reloaded")

    async def stopped(self) -> None:
        """Returns when a part that runs for the whole life ended: control cannot go on, and says why in its log."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            fault = None if task.cancelled() else task.exception()
            log.error("a part of control ended", extra={"fields": {"part": task.get_name()}}, exc_info=fault)

    async def close(self) -> None:
        """Keeps what it knows and lets go, in the reverse order of opening."""
        await self._opened.aclose()

    async def _end_tasks(self) -> None:
        async with self._store.database.idle(), self._decisions.idle():
            for task in self._tasks:
                task.cancel()
        await _ended(self._tasks)

    async def _keep(self) -> None:
        """Verbs end, then the last snapshots."""
        await self._controller.finish()
        if self._started:
            await _kept(self._rounds.save)

    # --- what the parts tell each other ----------------------------------------------------------------------

    def _fold(self, exchange: Exchange) -> None:
        self._watches.fold(exchange)
        if self._spans is not None:
            self._spans.fold(exchange)

    def _in_force(self) -> Settings:
        """The file's settings with what calls have changed and what the machine bounds."""
        settings = within_machine(self._settings)
        return settings.model_copy(update={"deployments": tuple(self._challengers.in_force().values())})

    def _read_challenger(self, document: Mapping[str, object]) -> Challenger:
        try:
            return read_challenger(document, self._settings)
        except ConfigFaults as faults:
            raise Invalid("; ".join(str(fault) for fault in faults.faults)) from None

    async def _probe(self, target: Target) -> str | None:
        return await probe(target, trust_of(target, self._settings.upstream_tls))

    async def _publish(self, states: Mapping[str, DeploymentState]) -> None:
        """The table goes out, and at once evidence begins anew where it has to."""
        await self._publisher.send(states)
        self._watches.follow(self._challengers.in_force(), states)

    async def _settle(self) -> None:
        if not await self._publisher.settle():
            log.warning("not every worker has taken the routing table yet")


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(write: Callable[[], Awaitable[None]]) -> None:
    """A last write, which a full disk must not turn into a crash."""
    try:
        await write()
    except SidecarError as error:
        log.warning("not everything was kept", extra={"fields": {"says": str(error)}})


async def serve(config_path: Path, admin_fd: int, link: str, table: Path) -> int:
    """Runs until told to stop; 1 when a part of it failed, so that the supervisor starts it anew."""
    loop = asyncio.get_running_loop()
    stopping, changed = asyncio.Event(), asyncio.Event()
    stop_when_told(loop, stopping)
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    control = Control(config_path, load(config_path), link, table)
    with socket.socket(fileno=admin_fd) as admin:
        await control.open(admin)
        print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
        tasks = (
            loop.create_task(stopping.wait(), name="told to stop"),
            loop.create_task(control.stopped(), name="a part ended"),
            loop.create_task(_reload(control, changed), name="reload"),
        )
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await _ended(tasks)
        await control.close()
    return 0 if stopping.is_set() else 1


async def _reload(control: Control, changed: asyncio.Event) -> None:
    """One reload at a time; a signal that comes meanwhile means another one."""
    while True:
        await changed.wait()
        changed.clear()
        await control.reload()


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
        return asyncio.run(serve(given.config, given.admin_fd, given.link, given.table))
    except (CannotStart, ConfigFaults, RegistryError, SidecarError, OSError) as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
