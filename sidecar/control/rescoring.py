"""Proves named causes: asks the champion what it would have said of kept rows, had the feed not broken.

Keeps: spare capacity only. One request in flight over all deployments, with a pause after each; nothing while workers
are under pressure or the champion fails; a slow or wrong answer ends the attempt, and the next one waits. Rows reach
nobody but the champion that had answered them. No row is kept here, and none is logged.
Does not: judge (`counterfactual` does), keep rows (`kept_rows` does), or count as traffic.
Called by: the rounds, each few seconds.
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
from sidecar.observe.counterfactual import FEWEST_ROWS, Undone, proven, shift_removed, undone
from sidecar.observe.kept_rows import KeptRow
from sidecar.payload.message import Message
from sidecar.payload.reading import read_prediction
from sidecar.payload.request_form import RequestForm, write
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Answer
from sidecar.reports import Cause
from sidecar.standing import Target
from sidecar.telemetry.counts import Totals

log = logging.getLogger("sidecar.control.rescoring")

MOST_ROWS = 256
MOST_REQUESTS = 128
ROWS_A_REQUEST = 32
CHECKED_ROWS = 8
PAUSE_S = 0.05
AGAIN_S = 60.0
# The onset's bucket holds rows from before the change, too: the cause's share is told by the buckets after it.
FIRST_BUCKETS = 3
MOST_ATTEMPTS = 3
_PRESSED = 0.5
_SLOW_S = 0.5
_SLOWER = 5.0
_MOST_SLOW = 2  # answers of one attempt: a pause of the machine's is not yet a champion without time
_FAILED_SHARE = 0.01
_SAME = 1e-3

Row = TypeVar("Row")
Ask = Callable[[Target, str, bytes], Awaitable[Answer | None]]
Key = tuple[str, int, str, str, float]  # deployment, generation, feature, kind of cause, onset


class Attempts(msgspec.Struct):
    """How often a cause was tried, and when again."""

    made: int = 0
    not_before: float = 0.0


class Rescoring:
    """`ask` sends one body to a target and path; `clock` gives seconds since the epoch; `pause` waits."""

    def __init__(
        self,
        watches: Mapping[str, DeploymentWatch],
        *,
        ask: Ask,
        totals: Callable[[], Totals],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._watches = watches
        self._ask = ask
        self._totals = totals
        self._clock = clock
        self._pause = pause
        self._attempts: dict[Key, Attempts] = {}
        self._failed: dict[str, tuple[int, int]] = {}

    async def round(self) -> None:
        """Tries to prove one cause, if there is one to prove and the champion has time for it."""
        standing: set[Key] = set()
        for name, watch in list(self._watches.items()):
            for feature, cause, since in _unproven(watch):
                key = (name, watch.state.generation, feature, cause.kind, since)
                standing.add(key)
                attempts = self._attempts.setdefault(key, Attempts())
                now = self._clock()
                early = now < since + FIRST_BUCKETS * watch.deployment.drift.bucket_s
                if early or attempts.made >= MOST_ATTEMPTS or now < attempts.not_before or not self._calm(name, watch):
                    continue
                attempts.not_before = now + AGAIN_S
                if await self._prove(watch, feature, cause, since):
                    attempts.made += 1
        self._attempts = {key: tried for key, tried in self._attempts.items() if key in standing}

    async def _prove(self, watch: DeploymentWatch, feature: str, cause: Cause, since: float) -> bool:
        """Whether it came to an end, proven or not; False where rows are too few yet or the champion was not asked."""
        baseline, form, now = watch.baseline, watch.kept_rows.form, self._clock()
        if baseline is None or baseline.prediction is None or form is None:
            return False
        most = min(MOST_ROWS, MOST_REQUESTS * _batch(form))
        rows = [
            row
            for row in watch.kept_rows.newest(most, now)
            if row.at > since and _said_of(row, baseline.prediction) is not None
        ]
        would = undone(rows, feature, cause, baseline.by_name) if len(rows) >= FEWEST_ROWS else None
        if would is None:
            return False
        generation, target = watch.state.generation, watch.state.champion_target
        after = await self._said(watch, form, target, would, baseline.prediction)
        if after is None or watch.state.generation != generation or watch.baseline is not baseline:
            return True
        before = [_said_of(row, baseline.prediction) for row in would.rows]
        removed = shift_removed(baseline.prediction, before, after)
        fields = {"deployment": watch.deployment.name, "feature": feature, "cause": cause.kind, "removed": removed}
        log.info("a cause was re-scored", extra={"fields": fields})
        if removed is not None and watch.drift_observer is not None:
            watch.drift_observer.confirm(feature, proven(cause, removed))
        return True

    async def _said(
        self, watch: DeploymentWatch, form: RequestForm, target: Target, would: Undone, prediction: FeatureBaseline
    ) -> list[object] | None:
        """The champion's predictions for un-done rows; None where it was not asked to the end.

        First a few rows as they came: unless it says of those what it had said, what is written is not what callers
        write, and nothing is proven by it.
        """
        size, pace_s, slow = _batch(form), math.inf, 0
        checked = would.rows[:CHECKED_ROWS]
        again: list[object] = []
        for part in _parts(checked, size):
            said, took_s = await self._scored(watch, form, target, [row.values for row in part], prediction)
            if said is None or took_s > _SLOW_S:
                return None
            again += said
            pace_s = min(pace_s, took_s)
        if not _same(again, [_said_of(row, prediction) for row in checked]):
            log.info("re-scored rows are answered otherwise", extra={"fields": {"deployment": watch.deployment.name}})
            return None
        after: list[object] = []
        for values in _parts(would.values, size):
            said, took_s = await self._scored(watch, form, target, values, prediction)
            slow += took_s > max(_SLOWER * pace_s, _SLOW_S)
            if said is None or slow > _MOST_SLOW:
                return None
            after += said
        return after

    async def _scored(
        self,
        watch: DeploymentWatch,
        form: RequestForm,
        target: Target,
        rows: Sequence[Mapping[str, object]],
        prediction: FeatureBaseline,
    ) -> tuple[list[object] | None, float]:
        """One request: what was said of its rows, and how long it took; None where that cannot be read."""
        begun = self._clock()
        answer = await self._ask(target, form.path, write(form, rows))
        took_s = max(self._clock() - begun, 0.0)
        await self._pause(max(PAUSE_S, took_s))  # at most half of one connection's time
        if answer is None or answer.status != 200:
            return None, took_s
        message = Message(answer.body, form.path, answer.content_type, answer.content_encoding, answer.json_bytes)
        try:
            said = read_prediction(reading_of(watch.deployment, watch.baseline), message)
        except Undecodable:
            return None, took_s
        told = said.scores if prediction.kind == "numeric" else said.labels
        return (list(told) if told is not None and len(told) == len(rows) else None), took_s

    def _calm(self, name: str, watch: DeploymentWatch) -> bool:
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


def _unproven(watch: DeploymentWatch) -> list[tuple[str, Cause, float]]:
    """Features under alarm whose cause has a name and no proof yet, with the onset."""
    if watch.drift_observer is None or not watch.kept_rows.enabled or not len(watch.kept_rows):
        return []
    return [
        (feature.name, feature.cause, feature.since)
        for feature in watch.drift_observer.report().features
        if feature.alarm and feature.since is not None and feature.cause is not None
        if not feature.cause.confirmed and feature.cause.kind not in ("unexplained", "new_category")
    ]


def _batch(form: RequestForm) -> int:
    """Rows a request: as many as callers send, within bounds."""
    return max(1, min(form.rows, ROWS_A_REQUEST))


def _parts(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _said_of(row: KeptRow, prediction: FeatureBaseline) -> object:
    return row.score if prediction.kind == "numeric" else row.label


def _same(again: Sequence[object], before: Sequence[object]) -> bool:
    """Whether nine of ten rows got the same answer, numbers to one in a thousand."""
    alike = 0
    for now, then in zip(again, before, strict=True):
        if isinstance(now, float) and isinstance(then, float):
            alike += math.isclose(now, then, rel_tol=_SAME, abs_tol=_SAME)
        else:
            alike += now == then
    return alike >= 0.9 * len(before)
