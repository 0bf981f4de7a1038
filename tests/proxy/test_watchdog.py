from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from sidecar.proxy.watchdog import Watchdog
from tests.proxy.scripted import until


class Watched:
    """A watchdog on the running loop, and what it said."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.ticks: list[float] = []
        self.ticked_at: list[float] = []
        self._caplog = caplog
        self.loop = asyncio.get_running_loop()
        self.watchdog = Watchdog(self.loop, self._tick)

    def _tick(self, lost_s: float) -> None:
        self.ticks.append(lost_s)
        self.ticked_at.append(monotonic())

    async def block(self, callback: Callable[[], None]) -> None:
        """Runs it as a callback of the loop, and waits until the loop has turned after it."""
        over_at: list[float] = []

        def run() -> None:
            callback()
            over_at.append(monotonic())

        self.loop.call_soon(run)
        await until(lambda: over_at and self.watchdog.beat_at > over_at[0])

    def said(self, event: str) -> list[dict[str, Any]]:
        return [vars(record)["fields"] for record in self._caplog.records if record.message == event]


@pytest.fixture
async def watched(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Watched]:
    watched = Watched(caplog)
    watched.watchdog.start()
    yield watched
    watched.watchdog.stop()


def a_slow_callback() -> None:
    sleep(0.5)


def a_busy_callback() -> None:
    """Works without ever letting another thread in: a call into C that keeps the interpreter."""
    until_s = monotonic() + 0.4
    while monotonic() < until_s:
        sum(range(20_000_000))


async def test_a_block_shows_in_the_lag_and_its_stack_in_the_log(watched: Watched) -> None:
    await watched.block(a_slow_callback)
    assert 0.35 < watched.watchdog.lag_s < 20
    (blocked,) = watched.said("the loop is blocked")
    assert "a_slow_callback" in blocked["at"].split(" < ")[0]
    assert 0.15 < blocked["for_s"] < 20
    (late,) = watched.said("the loop was late")
    assert late["lag_s"] > 0.35
    assert late["cpu_s"] < 0.3  # it waited and did not work


async def test_a_callback_that_lets_no_thread_in_still_shows(watched: Watched) -> None:
    await watched.block(a_busy_callback)
    (late,) = watched.said("the loop was late")
    assert watched.watchdog.lag_s == pytest.approx(late["lag_s"], abs=0.001)
    assert late["lag_s"] > 0.2
    assert late["cpu_s"] > 0.15


async def test_many_blocks_are_told_seldom(watched: Watched) -> None:
    for _ in range(4):
        await watched.block(lambda: sleep(0.45))
    assert len(watched.said("the loop is blocked")) == 1
    assert len(watched.said("the loop was late")) == 1


async def test_a_loop_that_turns_says_nothing(watched: Watched) -> None:
    await until(lambda: len(watched.ticks) >= 3)
    assert watched.watchdog.typical_lag_s < 0.1
    gaps = [later - earlier for earlier, later in zip(watched.ticked_at, watched.ticked_at[1:], strict=False)]
    assert all(gap > 0.9 for gap in gaps)
    assert min(gaps) < 2


async def test_the_tick_is_told_of_lost_time_before_it_looks_at_a_deadline(watched: Watched) -> None:
    await until(lambda: watched.ticks)
    await watched.block(lambda: sleep(1.5))
    await until(lambda: len(watched.ticks) >= 2)
    assert sum(watched.ticks) == pytest.approx(1.45, abs=0.9)  # a busy machine adds its own
    await until(lambda: len(watched.ticks) >= 3)
    assert sum(watched.ticks) == pytest.approx(1.45, abs=0.9)  # told once


async def test_a_long_block_does_not_move_what_is_typical(watched: Watched) -> None:
    await watched.block(lambda: sleep(0.5))
    assert watched.watchdog.typical_lag_s < 0.25


class Beats:
    """Beats at moments that the test chooses, without a loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.lost: list[float] = []
        monkeypatch.setattr("sidecar.proxy.watchdog.monotonic", lambda: self.now)
        self.watchdog = Watchdog(_NoTimers(), self.lost.append)  # type: ignore[arg-type]

    def after(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            self.now += seconds
            self.watchdog._beat()


class _NoTimers:
    def call_later(self, _delay: float, _callback: Callable[[], None]) -> None:
        return None


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Iterator[Beats]:
    logging.getLogger("sidecar.proxy.watchdog").setLevel(logging.CRITICAL)
    yield Beats(monkeypatch)
    logging.getLogger("sidecar.proxy.watchdog").setLevel(logging.NOTSET)


def test_a_lasting_load_excuses_nobody(beats: Beats) -> None:
    """A loop that is always 0.3 s late is overloaded: deadlines hold, else whoever dawdles makes it worse."""
    beats.after(0.4, times=200)
    assert beats.watchdog.typical_lag_s == pytest.approx(0.3)
    assert sum(beats.lost) < 2.0
    assert len(beats.lost) >= 60  # and it ticks each second or so all the while


def test_a_process_that_was_stopped_loses_all_of_that_time(beats: Beats) -> None:
    beats.after(0.1, times=20)
    beats.after(3600.1)
    assert sum(beats.lost) == pytest.approx(3600.0)
    assert beats.watchdog.lag_s == pytest.approx(3600.0)
    assert beats.watchdog.typical_lag_s == pytest.approx(0.0)


def test_the_worst_lag_is_kept_for_half_a_minute_and_forgotten_after_a_whole_one(beats: Beats) -> None:
    beats.after(0.1, times=5)
    beats.after(0.6)
    beats.after(0.1, times=290)
    assert beats.watchdog.lag_s == pytest.approx(0.5)
    beats.after(0.1, times=350)
    assert beats.watchdog.lag_s == pytest.approx(0.0)


def test_a_stopped_watchdog_leaves_no_thread() -> None:
    async def run() -> None:
        watchdog = Watchdog(asyncio.get_running_loop(), lambda _lost_s: None)
        watchdog.start()
        assert "watchdog" in {thread.name for thread in threading.enumerate()}
        watchdog.stop()
        watchdog.stop()

    asyncio.run(run())
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


async def test_watching_costs_next_to_nothing(watched: Watched) -> None:
    """Heartbeat and thread together; measured at a twentieth of this, the clock of a process is coarse."""
    spent_s: list[float] = []
    while len(spent_s) < 3 and min(spent_s, default=1.0) >= 0.1:  # what else this process has to do comes and goes
        before_s, began = os.times(), monotonic()
        await until_idle(watched, began + 2.0)
        after_s = os.times()
        spent_s.append(after_s.user + after_s.system - before_s.user - before_s.system)
    assert min(spent_s) < 0.1, spent_s


async def until_idle(watched: Watched, at: float) -> None:
    """Waits on the watchdog's own ticks, so that nothing else wakes this process."""
    done = watched.loop.create_future()
    watched.loop.call_later(at - monotonic(), lambda: done.set_result(None))
    await done
