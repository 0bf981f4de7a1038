"""Asks which moved features the predictions' shift goes with, where no fault of the feed has a name.

Keeps: spare capacity only; one question a round, each feature by itself, then the three largest at once; at most five
features an alarm, and each at most three times. An answer holds for one alarm on predictions under one generation.
Does not: put values back or judge (`observe/ranked_back`, `counterfactual` do), keep rows.
Called by: the re-scoring, after the causes that have a name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from sidecar.control.spare_capacity import Asked, Attempts, SpareCapacity, newest_rows, said_then
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.counterfactual import FEWEST_ROWS, shift_removed
from sidecar.observe.ranked_back import ranked_back, with_values
from sidecar.reports import DriftReport, FeatureDrift, SharedShift

log = logging.getLogger("sidecar.control.shift_shares")

MOST_FEATURES = 5
TOGETHER = 3
# The onset's bucket holds rows from before the change, too.
FIRST_BUCKETS = 3

Question = tuple[str, ...]  # features that are put back at once


class _Shift(msgspec.Struct):
    """What was asked about one alarm on predictions."""

    generation: int
    since: float
    attempts: dict[Question, Attempts] = {}
    shares: dict[Question, float] = {}
    rows: int = 0


class ShiftShares:
    """Over all deployments that keep rows."""

    def __init__(self, watches: Mapping[str, DeploymentWatch], capacity: SpareCapacity) -> None:
        self._watches = watches
        self._capacity = capacity
        self._shifts: dict[str, _Shift] = {}

    async def round(self) -> None:
        """Asks at most one question of each deployment whose predictions moved."""
        for name, watch in list(self._watches.items()):
            await self._look(name, watch)
        self._shifts = {name: shift for name, shift in self._shifts.items() if name in self._watches}

    async def _look(self, name: str, watch: DeploymentWatch) -> None:
        moved = _moved(watch)
        if moved is None:
            self._shifts.pop(name, None)
            return
        since, features = moved
        shift = self._shifts.get(name)
        if shift is None or (shift.generation, shift.since) != (watch.state.generation, since):
            shift = self._shifts[name] = _Shift(watch.state.generation, since)
        now = self._capacity.clock()
        # Rows from after the last of these onsets: in earlier ones not all of it had happened.
        begun = max(since, *(feature.since or 0.0 for feature in features))
        if now < begun + FIRST_BUCKETS * watch.deployment.drift.bucket_s:
            return
        question = _next(shift, [feature.name for feature in features], now)
        if question is None or not self._capacity.calm(name, watch):
            return
        attempts = shift.attempts[question]
        attempts.begin(now)
        asked = await self._ask(watch, shift, question, begun)
        if asked is not None:
            attempts.ended(asked, self._capacity.clock())

    async def _ask(self, watch: DeploymentWatch, shift: _Shift, question: Question, begun: float) -> Asked | None:
        """What came of asking; None where rows are too few yet."""
        baseline = watch.baseline
        if baseline is None or baseline.prediction is None:
            return None
        prediction = baseline.prediction
        rows = newest_rows(watch, prediction, begun, self._capacity.clock())
        if len(rows) < FEWEST_ROWS:
            return None
        back = {feature: ranked_back(rows, feature, baseline.by_name) for feature in question}
        columns = {feature: values for feature, values in back.items() if values is not None}
        asked = await self._capacity.said_of(watch, prediction, rows, with_values(rows, columns))
        if asked.said is None or watch.state.generation != shift.generation or watch.baseline is not baseline:
            return asked
        share = shift_removed(prediction, [said_then(row, prediction) for row in rows], asked.said)
        fields = {"deployment": watch.deployment.name, "features": list(question), "share": share}
        log.info("a shift was re-scored", extra={"fields": fields})
        if share is not None:
            shift.shares[question], shift.rows = share, len(rows)
            watch.inputs.shift = _told(shift)
        return asked


def _next(shift: _Shift, features: list[str], now: float) -> Question | None:
    """A feature that was not asked for yet; once all were, the three largest at once."""
    alone: list[Question] = [(name,) for name in features]
    waiting = [question for question in alone if question not in shift.shares and _due(shift, question, now)]
    if waiting:
        return waiting[0]
    known = sorted((question for question in alone if question in shift.shares), key=lambda one: -shift.shares[one])
    largest = tuple(name for (name,) in known[:TOGETHER])
    if len(largest) > 1 and largest not in shift.shares and _due(shift, largest, now):
        return largest
    return None


def _due(shift: _Shift, question: Question, now: float) -> bool:
    return shift.attempts.setdefault(question, Attempts()).due(now)


def _told(shift: _Shift) -> SharedShift:
    alone = {question[0]: share for question, share in shift.shares.items() if len(question) == 1}
    ranked = sorted(alone, key=lambda name: -alone[name])
    return SharedShift(
        since=shift.since,
        rows=shift.rows,
        shares={name: round(alone[name], 4) for name in ranked},
        together=shift.shares.get(tuple(ranked[:TOGETHER])) if len(ranked) > 1 else None,
    )


def _moved(watch: DeploymentWatch) -> tuple[float, list[FeatureDrift]] | None:
    """The onset of an alarm on predictions and the weightiest moved features without a name for it; None: no such."""
    if watch.drift_observer is None or not watch.kept_rows.enabled or not len(watch.kept_rows):
        return None
    report: DriftReport = watch.drift_observer.report()
    prediction, importance = report.prediction, watch.truths.importance
    if prediction is None or not prediction.alarm or prediction.since is None:
        return None
    features = [
        feature
        for feature in report.features
        if feature.alarm and (feature.cause is None or feature.cause.kind in ("unexplained", "new_category"))
    ]
    features.sort(key=lambda feature: importance.get(feature.name, 1.0) * feature.kl_lower, reverse=True)
    return (prediction.since, features[:MOST_FEATURES]) if features else None
