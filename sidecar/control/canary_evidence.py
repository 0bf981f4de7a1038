"""The evidence of a canary's present step: of the requests that it was asked for, beside the champion's copies.

Keeps: it is of one step, by the mark that requests and counts carry, and begins anew with the next one, after a
restart, and where an input turns out to have been broken. A request that the canary failed and the champion answered is
one that both were asked for.
Does not: judge (`decide/canary`), or touch the evidence on the pair, which goes on beside it.
Called by: the pair's evidence, and the watch with the workers' counts of copies to the champion.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sidecar.control.copy_counts import CopyCounts
from sidecar.observe.agreement import Tolerance
from sidecar.observe.comparison import ComparisonObserver
from sidecar.records import Exchange, Leg, Prediction, ShadowCounts
from sidecar.reports import Copies
from sidecar.standing import DeploymentState

Step = tuple[int, str, float, float]  # generation, version, when the canary began, when its step did


class CanaryEvidence:
    """`observer` is None while there is no canary. `other_model`: it answers under the name of what passed the gates,
    and is another model by now.
    """

    def __init__(self) -> None:
        self.observer: ComparisonObserver | None = None
        self.other_model = False
        self._step: Step | None = None
        self._counts = CopyCounts()
        # A step that had begun before this process did: what workers had counted by then is none of its evidence.
        self._begun_before: bool | None = None

    def follow(self, state: DeploymentState, tolerance: Tolerance, now: float, *, same: bool) -> None:
        """Takes up a state. Evidence of another step, and unless `same` of this one too, begins anew."""
        canary, before, seen = state.canary, self._step, self.observer
        step = None if canary is None else (state.generation, canary.version, canary.since, canary.step_since)
        self._begun_before = self._begun_before is None or (self._begun_before and step == before)
        if step != before:
            self._step, self._counts = step, CopyCounts()
            self.other_model = self.other_model and step is not None and before is not None and step[1:3] == before[1:3]
            self.observer = None
            if canary is not None:
                self.observer = ComparisonObserver(state.champion, canary.version, score_tolerance=tolerance, now=now)
                # Nothing is missing yet: what ends in the first moments and is on its way is lost to nobody.
                self.observer.fold_copies(Copies(mirrored=0, answered=0, errors={}, dropped={}), now)
        elif seen is not None and not same:
            self.observer = seen.anew(now, tolerance)

    def anew(self, now: float) -> None:
        """What came so far is no evidence."""
        if self.observer is not None:
            self.observer = self.observer.anew(now)

    def forget(self, versions: Collection[str], now: float) -> None:
        """These versions are other models than they were."""
        if self.observer is not None and self.observer.challenger in versions:
            self.other_model = True
            self.anew(now)

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
        if observer is None or not self._of_this_step(exchange):
            return
        observer.fold(exchange, leg, champion, challenger, segments)
        if exchange.served is exchange.champion:
            # No copy was needed, and none is counted by the workers: the champion gave the answer.
            answered = Copies(mirrored=1, answered=1, errors={}, dropped={})
            observer.fold_copies(answered, exchange.at)

    def pass_over(self, exchange: Exchange) -> None:
        """One that is no evidence: where the champion got a copy, it is not lost all the same."""
        observer = self.observer
        if observer is not None and self._of_this_step(exchange) and exchange.served is not exchange.champion:
            observer.pass_over(exchange.served)

    def fold_counts(self, worker: str, counts: ShadowCounts, now: float, *, void: bool) -> None:
        """A worker's cumulative counts of copies to the champion at one step."""
        step, observer = self._step, self.observer
        if step is None or observer is None or (counts.generation, counts.champion, counts.step_since) != _mark(step):
            return
        known = worker in self._counts.seen
        delta = self._counts.delta(worker, counts)
        if known or not self._begun_before:
            observer.fold_copies(delta, now, void=void)

    def _of_this_step(self, exchange: Exchange) -> bool:
        step = self._step
        if step is None or (exchange.generation, exchange.canary, exchange.step_since) != _mark(step):
            return False
        return exchange.champion.dropped is None


def _mark(step: Step) -> tuple[int, str, float]:
    """What a request or a count carries of its step."""
    return step[0], step[1], step[3]
