"""The evidence of a canary's present step: of the requests that it was asked for, beside the champion's copies.

Keeps: it is of one step, and begins anew with the next one, after a restart, and where an input turns out to have been
broken. A request that the canary failed and the champion answered is one that both were asked for.
Does not: judge (`decide/canary`), or touch the evidence on the pair, which goes on beside it.
Called by: the pair's evidence, and the watch with the workers' counts of copies to the champion.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.control.copy_counts import CopyCounts
from sidecar.observe.agreement import Tolerance
from sidecar.observe.comparison import ComparisonObserver
from sidecar.records import Exchange, Leg, Prediction, ShadowCounts
from sidecar.reports import Copies
from sidecar.standing import DeploymentState

Step = tuple[int, str, float, int]  # generation, version, when the canary began, its step


class CanaryEvidence:
    """`observer` is None while there is no canary."""

    def __init__(self) -> None:
        self.observer: ComparisonObserver | None = None
        self._step: Step | None = None
        self._counts = CopyCounts()

    def follow(self, state: DeploymentState, tolerance: Tolerance, now: float, *, same: bool) -> None:
        """Takes up a state. Evidence of another step, and unless `same` of this one too, begins anew."""
        canary = state.canary
        step = None if canary is None else (state.generation, canary.version, canary.since, canary.step)
        if same and step == self._step:
            return
        self._step = step
        if canary is None:
            self.observer = None
        else:
            self.observer = ComparisonObserver(state.champion, canary.version, score_tolerance=tolerance, now=now)

    def anew(self, now: float) -> None:
        """What came so far is no evidence."""
        seen = self.observer
        if seen is not None:
            self.observer = ComparisonObserver(seen.champion, seen.challenger, score_tolerance=seen.tolerance, now=now)

    def fold(
        self,
        exchange: Exchange,
        leg: Leg,
        champion: Prediction | None,
        challenger: Prediction | None,
        segments: Sequence[Sequence[str]],
    ) -> None:
        """An exchange that a canary was asked for first, with its leg."""
        observer = self.observer
        if observer is None or exchange.canary != observer.challenger or exchange.champion.dropped is not None:
            return
        if exchange.served is exchange.champion:
            # No copy was needed, and none is counted by the workers: the champion gave the answer.
            answered = Copies(mirrored=1, answered=1, errors={}, dropped={})
            observer.fold_copies(answered, exchange.at)
        observer.fold(exchange, leg, champion, challenger, segments)

    def fold_counts(self, worker: str, counts: ShadowCounts, now: float, *, void: bool) -> None:
        """A worker's cumulative counts of copies to the champion; those of before somebody looked are none of ours."""
        beside = msgspec.structs.replace(counts, version=counts.champion)
        known = beside.version in self._counts.seen.get(worker, {})
        delta = self._counts.delta(worker, beside)
        observer = self.observer
        if self._step is None or (counts.generation, counts.champion) != self._step[:2]:
            return
        if known and observer is not None:
            observer.fold_copies(delta, now, void=void)
