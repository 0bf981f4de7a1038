"""Every part of the control process, wired: what is opened in which order, and what the parts tell each other.

Traffic does not need it: whatever happens here, the workers go on by their last table. Called by `app/control`, which
is the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from sidecar.app.answering import answer
from sidecar.app.asking import asking_again, probing, rescoring
from sidecar.app.carrying_on import carry_on, remember
from sidecar.app.ending import ended, kept
from sidecar.app.events import OTHERS, EventParts
from sidecar.app.memory import within_machine
from sidecar.app.recording_parts import keep_record
from sidecar.app.registry import open_parts, webhook_of
from sidecar.app.reloading import reloaded
from sidecar.app.scrape import Scrape
from sidecar.app.storing import open_stores
from sidecar.app.tokens import CannotStart, tokens_of
from sidecar.app.tracing import LAST_SPANS_S, spans_of, where_in
from sidecar.config import Settings
from sidecar.config_file import ConfigFaults, load, read_challenger
from sidecar.config_versions import Challenger
from sidecar.control.agreements import Agreements
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.automation import Automation
from sidecar.control.canaries import Canaries
from sidecar.control.challengers import Challengers
from sidecar.control.controller import Controller
from sidecar.control.desk import Desk
from sidecar.control.following import AliasFollower
from sidecar.control.head_news import HeadNews
from sidecar.control.ingest import Ingest
from sidecar.control.intake import Intake
from sidecar.control.outbox import Outbox
from sidecar.control.publisher import Publisher
from sidecar.control.reconcile import Reconciler
from sidecar.control.rounds import Rounds
from sidecar.control.watches import Watches
from sidecar.control.write_back import WRITE_BACK
from sidecar.errors import Invalid, SidecarError
from sidecar.records import Exchange
from sidecar.standing import DeploymentState
from sidecar.telemetry.counts import WorkerTotals

log = logging.getLogger("sidecar.control")

_ALARMS_KEPT_S = 86_400.0


class Control:
    """Every part of the control process; `open` to `close` is its life."""

    def __init__(
        self, config_path: Path, settings: Settings, link: str, table: Path, sockets: Path | None = None
    ) -> None:
        self._config_path, self._settings = config_path, settings
        self._link, self._table = link, table
        self._sockets = sockets or Path(link).parent
        self._tokens = tokens_of(settings)
        self._webhook = webhook_of(settings, lambda: self._follower.wake())  # noqa: PLW0108  made later
        self._totals, self._announcer = WorkerTotals(), Announcer()
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
        await remember(self._parts, self._outbox, self._store.carryover, self._settings.deployments)
        # What is stored first: it says what the registry's aliases mean.
        await self._challengers.take_up()
        await self._controller.take_up()
        await self._desk.agreements.take_up()
        await self._follower.start()
        await self._take_up()
        self._follower.is_in_force()
        await carry_on(self._rounds, self._watches.known, self._store.carryover, self._decisions, self._parts.origins)
        # Only now: what a worker sends before would be counted into evidence that the last run's then replaces.
        await self._intake.open()
        self._opened.callback(self._intake.close)
        await self._serve(admin)
        self._tasks = (
            asyncio.create_task(self._rounds.run(), name="rounds"),
            asyncio.create_task(self._outbox.run(), name="outbox"),
            asyncio.create_task(self._events.outbox.run(), name="events"),
            asyncio.create_task(self._follower.run(), name="following"),
        )
        self._opened.push_async_callback(self._end_tasks)
        self._started = True

    async def _open_stores(self) -> None:
        settings = self._settings
        stores = await open_stores(settings, self._sockets, self._opened)
        self._store, self._recording, self._decisions = stores.store, stores.recording, stores.decisions
        self._events = EventParts(self._store, lambda: self._settings, time.time)
        await self._events.post.take_up()
        self._announcer.post = self._events.post.take
        self._alarms = AlarmBook(await self._store.carryover.alarms(ended_after=time.time() - _ALARMS_KEPT_S))
        self._parts = open_parts(settings, self._sockets, self._opened, lambda: self._desk.named())  # noqa: PLW0108
        self._registry, self._write_back = self._parts.sync, self._parts.write_back
        self._watches = Watches(self._decisions, self._registry, self._totals, time.time)
        self._spans = spans_of(settings, where_in(self._watches.known))
        if self._spans is not None:
            self._opened.push_async_callback(self._spans.close, LAST_SPANS_S)

    def _wire(self) -> None:
        """Every part by its constructor; nothing runs yet."""
        self._intake = Intake(self._link, self._fold, self._watches.count, self._watches.left)
        lines = {WRITE_BACK: self._write_back.deliver}
        self._outbox = Outbox(self._store.database, {}, time.time, lines=lines, manner=OTHERS)
        self._desk = Desk(
            settings=lambda: self._settings,
            store=self._store,
            decisions=self._decisions,
            registry=self._registry,
            write_back=self._write_back,
            watches=self._watches.known,
            alarms=self._alarms,
            announcer=self._announcer,
            ready=self._intake.ready,
            clock=time.time,
        )
        gate_hours = keep_record(self._desk, self._store, self._decisions, self._watches, self._events.dead_letters)
        self._desk.ingesting = Ingest(self._watches.known, self._fold, self._intake.attempt, clock=time.time)
        self._controller = self._desk.controller = Controller(
            self._store,
            deployments=self._desk.named,
            gate_table=self._desk.gates,
            probe=probing(lambda: self._settings),
            publish=self._publish,
            clock=time.time,
            settle=self._settle,
            deliveries=lambda plan: (*self._write_back.deliveries(plan), *self._events.post.of_plan(plan)),
            wake=self._wake,
            lineage=self._registry.lineage,
            basis=self._desk.basis,
            recording=self._recording,
            stand_back=self._intake.stand_back,
            agreed=lambda *asked: self._desk.agreements.agreed(*asked),  # noqa: PLW0108  made later
        )
        self._desk.canaries = Canaries(
            self._store,
            self._controller,
            gate_table=self._desk.gates,
            probe=probing(lambda: self._settings),
            clock=time.time,
            basis=self._desk.basis,
            agreed=lambda *asked: self._desk.agreements.agreed(*asked),  # noqa: PLW0108  made later
            shadow_on=lambda name: self._challengers.roster(name).enabled,
        )
        self._desk.agreements = Agreements(
            self._store,
            self._controller.turns,
            deployments=self._desk.named,
            clock=time.time,
            canary_since=self._controller.canary_since,
        )
        self._desk.automation = Automation(
            self._store,
            self._controller.turns,
            verbs=self._desk,
            watches=self._watches.known,
            alarms=self._alarms,
            clock=time.time,
            announcer=self._announcer,
        )
        self._follower = self._desk.follower = AliasFollower(
            self._parts.cached,
            self._parts.managed,
            store=self._store,
            turns=self._controller.turns,
            settings=lambda: self._settings,
            states=lambda: self._controller.states,
            roster=lambda name: self._challengers.roster(name),  # noqa: PLW0108  made later
            take_up=self._take_up,
            clock=time.time,
        )
        self._challengers = self._desk.challengers = Challengers(
            self._store,
            self._controller.turns,
            deployments=self._follower.deployments,
            states=lambda: self._controller.states,
            read=self._read_challenger,
            clock=time.time,
            named=self._follower.named,
        )
        self._desk.reconciler = Reconciler(
            self._store,
            self._controller.turns,
            self._write_back,
            deployments=self._desk.named,
            states=lambda: self._controller.states,
            wake=self._outbox.wake,
            clock=time.time,
        )
        self._publisher = Publisher(
            self._table, self._in_force, self._store.carryover, self._intake, self._challengers.switched_off
        )
        self._rounds = Rounds(
            deployments=self._desk.named,
            watches=self._watches.known,
            gate_table=self._desk.gates,
            alarms=self._alarms,
            announcer=self._announcer,
            carryover=self._store.carryover,
            decisions=self._decisions,
            registry=self._registry,
            origins=self._parts.origins,
            post=self._events.post,
            dead_letters=self._events.dead_letters,
            agreements=self._desk.agreements,
            automation=self._desk.automation,
            gate_hours=gate_hours,
            head_news=HeadNews(self._store, self._announcer, time.time),
            retraining=self._events.retraining(self._watches.known, self._alarms, self._announcer, self._registry),
            rescoring=rescoring(self._watches.known, self._totals, lambda: self._settings, time.time),
            noise_floor=asking_again(self._watches.known, self._totals, lambda: self._settings, time.time),
            keep_table=self._publisher.keep,
            record=self._controller.record,
            attempt=self._intake.attempt,
            clock=time.time,
            registry_s=self._settings.registry.poll_s if self._settings.registry is not None else None,
        )

    async def _serve(self, admin: socket.socket) -> None:
        scrape = Scrape(
            self._watches.known,
            self._desk,
            self._alarms,
            totals=self._totals,
            intake=self._intake,
            decisions=self._decisions,
            recording=self._recording,
            dead_letters=self._events.dead_letters,
            spans=lambda: self._spans.counts if self._spans is not None else {},
        )
        self._front = await answer(
            admin,
            self._settings,
            desk=self._desk,
            scrape=scrape,
            tokens=self._tokens,
            webhook=self._webhook,
            opened=self._opened,
        )

    async def reload(self) -> None:
        """SIGHUP: all but what needs a restart counts from the file; a bad file changes nothing."""
        try:
            read = await asyncio.to_thread(load, self._config_path)
        except ConfigFaults as faults:
            log.error("the configuration was not reloaded", extra={"fields": {"says": str(faults)}})  # noqa: TRY400
            return
        settings, waiting = reloaded(self._settings, read)
        try:
            self._front.renew(settings.admin, tokens_of(settings))
        except CannotStart as fault:
            log.error("the configuration was not reloaded", extra={"fields": {"says": str(fault)}})  # noqa: TRY400
            return
        self._settings = settings
        if waiting:
            log.warning("these need a restart", extra={"fields": {"keys": ", ".join(waiting)}})
        try:
            await self._follower.look()
            await self._take_up()
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
        await ended(self._tasks)

    async def _keep(self) -> None:
        """Verbs end, then the last snapshots."""
        await self._controller.finish()
        if self._started:
            await kept(self._controller.record)
            await kept(lambda: self._rounds.save(last=True))

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

    async def _take_up(self, names: Collection[str] | None = None) -> None:
        """Puts in force what settings and registry name: of these deployments, by default of all."""
        await self._challengers.start(names)
        await self._controller.start(names)

    async def _publish(self, states: Mapping[str, DeploymentState]) -> None:
        """The table goes out, and at once evidence begins anew where it has to."""
        self._follower.ask_for()
        await self._publisher.send(states)
        self._watches.follow(self._challengers.in_force(), states)

    def _wake(self) -> None:
        self._outbox.wake()
        self._events.outbox.wake()

    async def _settle(self) -> None:
        if not await self._publisher.settle():
            log.warning("not every worker has taken the routing table yet")
        self._intake.go_on()
