"""The parts that tell others what happens, wired: the post, its outbox, the dead letters, retraining.

Called by: control's composition root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from sidecar.app.tokens import CannotStart
from sidecar.config import Settings
from sidecar.config_events import EventReceiver
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.dead_letters import KEPT_S, DeadLetterOffice
from sidecar.control.event_post import EVENT, EventPost
from sidecar.control.event_sender import EventSender
from sidecar.control.outbox import Manner, Outbox
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.retraining import Retraining
from sidecar.control.store import Store
from sidecar.control.watch import DeploymentWatch

# A receiver that is away for a long weekend misses nothing.
GIVE_UP_S = 4 * 86_400.0
_LINES_AT_ONCE = 8
# What every other outbox leaves alone.
OTHERS = Manner(never=frozenset({EVENT}))


class EventParts:
    """Everything about events; nothing runs until its `outbox` does."""

    def __init__(self, store: Store, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
        missing = [
            each.secret_env
            for each in settings().events
            if each.secret_env is not None and not os.environ.get(each.secret_env)
        ]
        if missing:
            raise CannotStart(f"events: a secret is missing: set the variable {missing[0]}")

        def receivers() -> tuple[EventReceiver, ...]:
            return settings().events

        sender = EventSender(receivers, os.environ.get, clock)
        manner = Manner(only=frozenset({EVENT}), give_up_s=GIVE_UP_S, lines_at_once=_LINES_AT_ONCE, aside_kept_s=KEPT_S)
        self.outbox = Outbox(store.database, {EVENT: sender.deliver}, clock, manner=manner)
        self.post = EventPost(store.database, receivers, clock, self.outbox.wake)
        self.dead_letters = DeadLetterOffice(store.database, clock, self.outbox.wake)
        self._store, self._clock = store, clock

    def retraining(
        self,
        watches: Mapping[str, DeploymentWatch],
        alarms: AlarmBook,
        announcer: Announcer,
        registry: RegistrySync,
    ) -> Retraining:
        """Who recommends it."""
        return Retraining(
            self._store,
            watches=watches,
            alarms=alarms,
            announcer=announcer,
            post=self.post,
            registry=registry,
            clock=self._clock,
            wake=self.outbox.wake,
        )
