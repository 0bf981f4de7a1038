"""Random walks: transitions, a registry that comes and goes, other people, restarts and crashes, in any order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sidecar.control.write_back import WRITE_BACK
from sidecar.errors import Unavailable
from tests.control.write_back_ground import FolderGround, ground

STEPS = 25
VERSIONS = ("3", "4", "5")


class Walk:
    """What may be overwritten, kept by hand: every champion since the registry was told last."""

    def __init__(self, around: FolderGround, seed: int) -> None:
        self.around = around
        self.random = random.Random(seed)
        self.away = False
        self.ours = {"3"}

    @property
    def champion(self) -> str:
        return self.around.controller.states["fraud"].champion

    async def step(self) -> None:
        names = ["promote", "promote", "rollback", "send", "send", "told_and_crashed", "restart", "theirs", "reconcile"]
        name = self.random.choice([*names, "come_and_go"])
        await getattr(self, name)()

    async def promote(self) -> None:
        await self.around.promote(self.random.choice([v for v in VERSIONS if v != self.champion]))
        self.ours.add(self.champion)

    async def rollback(self) -> None:
        if self.around.controller.states["fraud"].previous is not None:
            await self.around.rollback()
            self.ours.add(self.champion)

    async def come_and_go(self) -> None:
        if self.away:
            self.around.bring_back()
        else:
            self.around.take_away()
        self.away = not self.away

    async def theirs(self) -> None:
        if not self.away:
            await self.around.watched.theirs(self.random.choice([*VERSIONS, "9"]))

    async def send(self) -> None:
        await self._watched(self.around.send())

    async def told_and_crashed(self) -> None:
        """The registry has taken it, and the note of that is lost."""
        line = await self.around.outbox.waiting(WRITE_BACK)
        if line and not self.away:
            await self._watched(self.around.write_back.deliver(line))
            if await self.around.alias() == self.champion:
                self.ours = {self.champion}  # it has landed, and that is known over the crash
            await self.restart()

    async def restart(self) -> None:
        await self.around.restart()

    async def reconcile(self) -> None:
        if self.away:
            with pytest.raises(Unavailable):
                await self.around.reconcile()
            return
        there = await self.around.alias()
        self.ours.add(str(there))
        await self._watched(self.around.reconcile())

    async def _watched(self, telling: object) -> None:
        """Whatever is written now may be written."""
        before = None if self.away else await self.around.alias()
        moves = len(self.around.watched.moves)
        await telling  # type: ignore[misc]
        made = self.around.watched.moves[moves:]
        assert made in ([], [self.champion]), "never an older champion, never twice"
        if made:
            assert before in self.ours, f"{before} was put there by someone else"
        if not await self.around.outbox.waiting(WRITE_BACK):
            self.ours = {self.champion}


@pytest.mark.parametrize("seed", range(6))
async def test_however_it_comes_nothing_of_others_is_overwritten_and_the_end_is_told(tmp_path: Path, seed: int) -> None:
    async with ground(tmp_path) as around:
        walk = Walk(around, seed)
        for _ in range(STEPS):
            await walk.step()
        if walk.away:
            await walk.come_and_go()
        await walk.send()
        status, there = await around.look(), await around.alias()
        assert status.unwritten is None
        assert status.diverged == (there != walk.champion)
        assert (await around.tags(walk.champion)).get("sidecar.retired_at", "none") == "none"
        assert (await around.store.verify()).ok
        if there != walk.champion:
            assert (await around.reconcile()).written
        assert await around.alias() == walk.champion
