"""Asks a champion about kept rows on its spare capacity: in callers' form, one request at a time, and patiently.

Keeps: a pause after each request as long as the answer took, so at most half of one connection's time; nothing while
workers are under pressure or callers see errors. A champion that says something else of rows as they came than it had
said proves nothing. Without time now is no answer for good: `Attempts` says when to ask again.
Does not: keep, choose or log rows, or judge what is said.
Called by: the proof of causes (`rescoring`) and the shares of a shift (`shift_shares`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from registry_client.baseline import FeatureBaseline
from sidecar.control.exchange_reader import reading_of
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.kept_rows import KeptRow
from sidecar.payload.message import Message
from sidecar.payload.reading import read_prediction
from sidecar.payload.request_form import RequestForm, write
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Answer
from sidecar.standing import Target
from sidecar.telemetry.counts import Totals

log = logging.getLogger("sidecar.control.rescoring")

MOST_ROWS = 256
MOST_REQUESTS = 128
ROWS_A_REQUEST = 32
CHECKED_ROWS = 8
PAUSE_S = 0.05
AGAIN_S = 60.0
LONGEST_WAIT_S = 900.0
MOST_ATTEMPTS = 3
MOST_BUSY = 24  # looks in vain at a champion without time: about five hours
_PRESSED = 0.5
_SLOW_S = 0.5
_SLOWER = 5.0
_SLOWER_THAN_CALLERS = 2.0
_MOST_SLOW = 2  # answers of one attempt: a pause of the machine's is not yet a champion without time
_FAILED_SHARE = 0.01
_SAME = 1e-3
# Statuses of a server that has no time; any other but 200 is an answer that nothing can be made of.
_NO_TIME = frozenset({429, 503, 504})

Row = TypeVar("Row")
Ask = Callable[[Target, str, bytes], Awaitable[Answer | None]]


class Asked(msgspec.Struct, frozen=True):
    """What the champion said of rows, in their order; `said` None: nothing to judge by, for want of time if `busy`."""

    said: list[object] | None = None
    busy: bool = False


class Attempts(msgspec.Struct):
    """How often a question was tried to the end, how often in vain for want of time, and when again."""

    made: int = 0
    busy: int = 0
    not_before: float = 0.0

    def due(self, now: float) -> bool:
        """Whether it may be tried now."""
        return self.made < MOST_ATTEMPTS and self.busy < MOST_BUSY and now >= self.not_before

    def begin(self, now: float) -> None:
        """It is tried now: not again within a minute, whatever comes of it."""
        self.not_before = now + AGAIN_S

    def ended(self, asked: Asked, now: float) -> None:
        """Counts what came of it; the longer the champion has no time, the longer the wait."""
        if not asked.busy:
            self.made += 1
            return
        self.not_before = now + min(AGAIN_S * 2.0**self.busy, LONGEST_WAIT_S)
        self.busy += 1


class SpareCapacity:
    """`ask` sends one body to a target and path; `clock` gives seconds since the epoch; `pause` waits."""

    def __init__(
        self,
        *,
        ask: Ask,
        totals: Callable[[], Totals],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ask = ask
        self._totals = totals
        self.clock = clock
        self._pause = pause
        self._failed: dict[str, tuple[int, int]] = {}

    def calm(self, name: str, watch: DeploymentWatch) -> bool:
        """Whether the workers have room and the champion answers well since the last look."""
        totals = self._totals()
        answered = failed = 0
        for key, durations in totals.requests.items():
            if key.deployment == name and key.version == watch.state.champion:
                answered += durations.count
                failed += durations.count if key.code >= 500 else 0
        before = self._failed.get(name, (answered, failed))
        self._failed[name] = answered, failed
        new, new_failed = answered - before[0], failed - before[1]
        return totals.pressure < _PRESSED and new_failed <= _FAILED_SHARE * max(new, 0)

    async def said_of(
        self,
        watch: DeploymentWatch,
        prediction: FeatureBaseline,
        rows: Sequence[KeptRow],
        values: Sequence[Mapping[str, object]],
    ) -> Asked:
        """The champion's predictions for `values` in place of what the rows held.

        First a few rows as they came: unless it says of those what it had said, what is written is not what callers
        write, and nothing can be learnt.
        """
        form, target = watch.kept_rows.form, watch.state.champion_target
        if form is None:
            return Asked()
        size, pace_s, slow = batch_of(form), math.inf, 0
        slow_s = max(_SLOW_S, _SLOWER_THAN_CALLERS * self._usual_s(watch))
        checked = rows[:CHECKED_ROWS]
        again: list[object] = []
        for few in _parts(checked, size):
            asked, took_s = await self._scored(watch, form, target, [row.values for row in few], prediction)
            if asked.said is None or took_s > slow_s:
                return Asked(busy=asked.busy or asked.said is not None)
            again += asked.said
            pace_s = min(pace_s, took_s)
        if not _same(again, [said_then(row, prediction) for row in checked]):
            log.info("re-scored rows are answered otherwise", extra={"fields": {"deployment": watch.deployment.name}})
            return Asked()
        said: list[object] = []
        for part in _parts(values, size):
            asked, took_s = await self._scored(watch, form, target, part, prediction)
            slow += took_s > max(_SLOWER * pace_s, slow_s)
            if asked.said is None or slow > _MOST_SLOW:
                return Asked(busy=asked.busy or asked.said is not None)
            said += asked.said
        return Asked(said)

    def _usual_s(self, watch: DeploymentWatch) -> float:
        """What callers wait for this champion on average."""
        key_of = (watch.deployment.name, watch.state.champion)
        found = [d for key, d in self._totals().requests.items() if (key.deployment, key.version) == key_of]
        count = sum(durations.count for durations in found)
        return sum(durations.seconds for durations in found) / count if count else 0.0

    async def _scored(
        self,
        watch: DeploymentWatch,
        form: RequestForm,
        target: Target,
        rows: Sequence[Mapping[str, object]],
        prediction: FeatureBaseline,
    ) -> tuple[Asked, float]:
        """One request: what was said of its rows, and how long it took."""
        begun = self.clock()
        answer = await self._ask(target, form.path, write(form, rows))
        took_s = max(self.clock() - begun, 0.0)
        await self._pause(max(PAUSE_S, took_s))  # at most half of one connection's time
        if answer is None or answer.status in _NO_TIME:
            return Asked(busy=True), took_s
        if answer.status != 200:
            return Asked(), took_s
        message = Message(answer.body, form.path, answer.content_type, answer.content_encoding, answer.json_bytes)
        try:
            said = read_prediction(reading_of(watch.deployment, watch.baseline), message)
        except Undecodable:
            return Asked(), took_s
        told = said.scores if prediction.kind == "numeric" else said.labels
        return Asked(list(told) if told is not None and len(told) == len(rows) else None), took_s


def batch_of(form: RequestForm) -> int:
    """Rows a request: as many as callers send, within bounds."""
    return max(1, min(form.rows, ROWS_A_REQUEST))


def said_then(row: KeptRow, prediction: FeatureBaseline) -> object:
    """What the champion had said of a row when it came."""
    return row.score if prediction.kind == "numeric" else row.label


def newest_rows(watch: DeploymentWatch, prediction: FeatureBaseline, since: float, now: float) -> list[KeptRow]:
    """The newest kept rows from after `since` that the champion had answered, as many as one attempt may ask."""
    form = watch.kept_rows.form
    if form is None:
        return []
    most = min(MOST_ROWS, MOST_REQUESTS * batch_of(form))
    return [
        row for row in watch.kept_rows.newest(most, now) if row.at > since and said_then(row, prediction) is not None
    ]


def _parts(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _same(again: Sequence[object], before: Sequence[object]) -> bool:
    """Whether nine of ten rows got the same answer, numbers to one in a thousand."""
    alike = 0
    for now, then in zip(again, before, strict=True):
        if isinstance(now, float) and isinstance(then, float):
            alike += math.isclose(now, then, rel_tol=_SAME, abs_tol=_SAME)
        else:
            alike += now == then
    return alike >= 0.9 * len(before)
