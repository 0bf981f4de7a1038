"""Watches that the event loop turns: a heartbeat measures how late it is, a thread says what holds it up.

Invariant: time in which this process could not work (blocked, stopped, starved) is known before the next tick looks
at a deadline, since the heartbeat itself calls the tick; so nobody is called late for it. The thread wakes seven times
a second, looks at one number, and writes the main thread's stack once for each block, rarely. Measures only: what
follows from it is the plane's matter. Made by the worker's composition root.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic, thread_time

log = logging.getLogger("sidecar.proxy.watchdog")

TICK_S = 1.0
BEAT_S = 0.1
# A loop that is this late is blocked.
BLOCKED_S = 0.08
LOOK_S = 0.05
# What a beat is later than is typical, from here on, is lost time. What is typical is load, and excuses nobody.
LOST_FROM_S = 0.05
LOG_EVERY_S = 10.0
# The worst lag is kept for at least this long, at most twice.
WORST_FOR_S = 30.0
# Over so many beats lag is typical.
TYPICAL_BEATS = 9
FRAMES = 12


class Watchdog:
    """The heartbeat of one worker. `tick` is called once a second with the seconds lost since it was last called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[float], None]) -> None:
        self._loop = loop
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = -TICK_S
        self._beat_at = monotonic()
        self._cpu_s = thread_time()
        self._lost_s = 0.0
        self._recent: deque[float] = deque([0.0] * TYPICAL_BEATS, maxlen=TYPICAL_BEATS)
        self._worst_s = 0.0
        self._worst_before_s = 0.0
        self._worst_since = self._beat_at
        self._logged_at = -LOG_EVERY_S
        self._thread = _Observer(self)

    @property
    def lag_s(self) -> float:
        """How late the loop was at worst within the last half to whole minute."""
        return max(self._worst_s, self._worst_before_s)

    @property
    def typical_lag_s(self) -> float:
        """The median of the last beats: what the loop is late under load; one long callback does not move it."""
        return median(self._recent)

    @property
    def beat_at(self) -> float:
        """When the loop turned last, in monotonic seconds."""
        return self._beat_at

    def start(self) -> None:
        """Begins to beat; the first tick comes at once."""
        self._beat_at = monotonic()
        self._cpu_s = thread_time()
        self._thread.start()
        self._go_on(self._beat_at)

    def stop(self) -> None:
        """Beats no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._thread.stop()

    def _beat(self) -> None:
        now, cpu_s = monotonic(), thread_time()
        lag_s = max(0.0, now - self._beat_at - BEAT_S)
        more_s = lag_s - self.typical_lag_s
        if more_s > LOST_FROM_S:
            self._lost_s += more_s
        if lag_s > BLOCKED_S:
            self._say_late(now, lag_s, cpu_s - self._cpu_s)
        self._recent.append(lag_s)
        if now - self._worst_since > WORST_FOR_S:
            self._worst_before_s, self._worst_s, self._worst_since = self._worst_s, 0.0, now
        self._worst_s = max(self._worst_s, lag_s)
        self._beat_at = now
        self._cpu_s = cpu_s
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        if now - self._ticked_at >= TICK_S - BEAT_S / 2:
            self._ticked_at = now
            lost_s, self._lost_s = self._lost_s, 0.0
            self._tick(lost_s)

    def _say_late(self, now: float, lag_s: float, cpu_s: float) -> None:
        """Of this time, how much was work: little means that the process was stopped, starved, or waited."""
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            fields = {"lag_s": round(lag_s, 3), "cpu_s": round(cpu_s, 3)}
            log.warning("the loop was late", extra={"fields": fields})


class _Observer:
    """The thread that looks at the heartbeat from outside."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._said_of = 0.0
        self._said_at = -LOG_EVERY_S

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        slept_from = monotonic()
        while not self._over.wait(LOOK_S):
            now = monotonic()
            # Who overslept himself was stopped together with the loop, and cannot say what it did meanwhile.
            overslept = now - slept_from > 3 * LOOK_S
            slept_from = now
            beat_at = self._watchdog.beat_at
            if now - beat_at > BEAT_S + BLOCKED_S and not overslept:
                self._say(now, beat_at)

    def _say(self, now: float, beat_at: float) -> None:
        """Once for each block, and not for each block where they come one after the other."""
        if beat_at == self._said_of or now - self._said_at < LOG_EVERY_S:
            return
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001  the documented way to another thread's stack
        if frame is None:
            return
        self._said_of, self._said_at = beat_at, now
        stack = traceback.extract_stack(frame)[-FRAMES:]
        at = " < ".join(f"{entry.filename}:{entry.lineno} {entry.name}" for entry in reversed(stack))
        log.warning("the loop is blocked", extra={"fields": {"for_s": round(now - beat_at, 3), "at": at}})
