"""A soak's churn: what a sidecar lives through in weeks, in half a minute, and a calm in which it is looked at.

The challenger stalls, resets, drips, goes down, fails, floods and recovers; callers leave midway; the configuration is
reloaded, a second challenger comes and goes; now and then control is killed. Each step is short, so that the load can
be watched between two of them. The sick challenger and the callers that leave are those of the fault tests.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from bench import traffic
from tests.chaos import crowd
from tests.chaos import sick_challengers as sick
from tests.chaos.scripted_backend import Backend, Connection, Script, Stage

# Callers that leave in one step, and when control is killed: shares of the whole time.
LEAVING = 100
KILLS_AT = (0.12, 0.25, 0.38)
# Steps of calm before the look: kept connections to model servers close when they have idled for four seconds.
CALM_STEPS = 4
SECOND = "5"


class Challenger:
    """A model server whose mood can be changed at any moment, for connections that come."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        answer = traffic.answer(traffic.CHALLENGER).encode()
        self._answer = sick.HEAD % len(answer) + answer
        self._mood: Script = self._well
        self._down = False
        self.backend: Backend = stage.backend(self._serve, record=False)

    async def _serve(self, connection: Connection) -> None:
        await self._mood(connection)

    async def _well(self, connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(self._answer)

    def become(self, mood: Script | None) -> None:
        """Restarts with another mood; None is well."""
        self._mood = mood or self._well
        if self._down:
            self._down = False
            self.backend.come_back()
        else:
            self.backend.cut_all()

    def go_down(self) -> None:
        """Refuses connections until it becomes something else."""
        self._down = True
        self.backend.go_down()


class Churn:
    """The cycle. `step` does the next thing; it tells whether this is the moment to look."""

    def __init__(
        self, stage: Stage, config: Path, url: str, path: str, *, supervisor: int, control: Callable[[], int]
    ) -> None:
        self.challenger = Challenger(stage)
        self.done: dict[str, int] = {}
        self._config = config
        self._settings: dict[str, Any] = {}
        self._url = url
        self._request = crowd.post(path, traffic.bodies()[0] * 40)
        self._supervisor = supervisor
        self._control = control
        self._chance = random.Random(20)
        self._kills = list(KILLS_AT)
        self._at = -1
        well = self.challenger.become
        self._cycle: tuple[tuple[str, Callable[[], None]], ...] = (
            ("stalled", lambda: well(sick.never_answers)),
            ("callers left", self._leave),
            ("reset", lambda: well(sick.resets_in_the_body)),
            ("reloaded", lambda: self._reload(second=True)),
            ("dripped", lambda: well(sick.drips)),
            ("callers left", self._leave),
            ("down", self.challenger.go_down),
            ("failed", lambda: well(sick.fails)),
            ("flooded", lambda: well(sick.one_gibibyte)),
            ("callers left", self._leave),
            ("reloaded", lambda: self._reload(second=False)),
            ("recovered", lambda: well(None)),
            *((("calm", lambda: None),) * CALM_STEPS),
        )

    def begin(self) -> None:
        """The first reload: a challenger that recovers soon, so that every cycle sees it well."""
        self._settings = yaml.safe_load(self._config.read_text())
        first = self._settings["deployments"][0]["challengers"][0]
        first |= {
            "url": self.challenger.backend.url,
            "timeout_s": 1.0,
            "breaker": {"failures": 5, "open_s": 0.5, "max_open_s": 1.0},
        }
        self._reload(second=False)

    def step(self, share: float) -> bool:
        """Does the next thing, at this share of the whole time. True at the end of a cycle."""
        self._at = (self._at + 1) % len(self._cycle)
        name, act = self._cycle[self._at]
        if self._at == 0 and self._kills and share >= self._kills[0]:
            self._kills.pop(0)
            os.kill(self._control(), signal.SIGKILL)
            self._count("control killed")
        act()
        self._count(name)
        return self._at == len(self._cycle) - 1

    def _count(self, name: str) -> None:
        self.done[name] = self.done.get(name, 0) + 1

    def _leave(self) -> None:
        """Callers at all points of a request, half of them by a reset."""

        async def leave() -> None:
            callers = (
                crowd.aborted(self._url, self._request, n % crowd.ABORT_POINTS, politely=self._chance.random() < 0.5)
                for n in range(LEAVING)
            )
            await asyncio.gather(*callers)

        asyncio.run(asyncio.wait_for(leave(), 30))

    def _reload(self, *, second: bool) -> None:
        deployment = self._settings["deployments"][0]
        deployment["challengers"] = deployment["challengers"][:1]
        if second:
            deployment["challengers"].append({"version": SECOND, "url": self.challenger.backend.url, "fraction": 0.5})
        self._settings["limits"] = {"body_bytes": 10_000_000 + second}
        self._config.write_text(yaml.safe_dump(self._settings, sort_keys=False))
        os.kill(self._supervisor, signal.SIGHUP)
