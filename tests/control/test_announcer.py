from __future__ import annotations

import asyncio

from sidecar.control.announcer import Announcer
from sidecar.standing import Event


def event(number: int) -> Event:
    return Event(type="sidecar.promoted", deployment="fraud", at=float(number), says=str(number))


async def test_every_listener_hears_what_happens_from_its_call_on() -> None:
    announcer = Announcer()
    announcer.announce(event(0))
    one, two = announcer.listen(), announcer.listen()
    announcer.announce(event(1))
    assert (await anext(one)).says == "1"
    assert (await anext(two)).says == "1"


async def test_a_listener_that_does_not_read_is_let_go_and_others_hear_on() -> None:
    announcer = Announcer()
    slow, quick = announcer.listen(), announcer.listen()
    heard = 0
    for number in range(600):
        announcer.announce(event(number))
        assert (await anext(quick)).says == str(number)
    async for _ in slow:
        heard += 1
    assert 200 < heard < 300
    announcer.announce(event(600))
    assert (await anext(quick)).says == "600"


async def test_a_listener_that_is_cancelled_leaves_nothing_behind() -> None:
    announcer = Announcer()

    async def read() -> None:
        async for _ in announcer.listen():
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not announcer._listeners
