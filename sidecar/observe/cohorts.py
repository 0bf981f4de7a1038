"""Rows by when they were predicted, so that only those judge whose outcomes have had their time to come.

Invariant: counts add, the order of arrival is free, memory is bounded (periods double when there are many). A row is
mature once it is older than the 95th percentile of the delays seen so far. Does not match outcomes nor judge; keeps no
value but cells of scores and the labels that the champion decided. Used by the quality observer.
Source: Manski 1990 (bounds where outcomes are missing), `stats.independence`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.observe.judged import RowPrediction
from sidecar.reports import Maturity
from sidecar.stats.independence import log_e_dependent

CELLS = 20
MATURE_SHARE = 0.95
_FEWEST_DELAYS = 20
_MOST_PERIODS = 256
_FIRST_PERIOD_S = 60.0
_MOST_DECISIONS = 16
_FEWEST_DECIDED = 200
_SELECTIVE = 0.1  # of the best covered decision's coverage: less is no sample of that decision's rows
OTHER = "other"
_MOST_LOG_E = 690.0


class PairCounts(msgspec.Struct, array_like=True):
    """Champion and a challenger on the same rows: all of them, those on which they differ, and those with an outcome.

    `unlabelled` rows on which they differ have no outcome yet: only these can still change the difference.
    """

    rows: int = 0
    differing: int = 0
    better: int = 0
    worse: int = 0
    same: int = 0
    labelled_differing: int = 0

    def add(self, other: PairCounts) -> None:
        """Adds another one."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def same_of_all(self) -> int:
        """Rows on which both were right or both wrong, in the proportion in which differing rows were labelled.

        Where both decide alike neither can win, whatever the outcome is, so these rows need none. They count as far as
        the differing ones have outcomes: labelling only those (the label queue) is then no other sample than labelling
        all rows alike, and a margin that is meant of all rows stays one of all rows.
        """
        if not self.differing or not self.better + self.worse + self.same:
            return self.same
        labelled = min(self.labelled_differing, self.differing)
        alike = (self.rows - self.differing) * labelled // self.differing
        return alike + max(0, labelled - self.better - self.worse)

    @property
    def unlabelled(self) -> int:
        """Rows on which the two differ and whose outcome is not known."""
        return max(0, self.differing - self.labelled_differing)


class Period(msgspec.Struct, array_like=True):
    """Rows predicted within one period: by the champion's score, by its decision, and by challenger."""

    predicted: list[int] = msgspec.field(default_factory=lambda: [0] * CELLS)
    labelled: list[int] = msgspec.field(default_factory=lambda: [0] * CELLS)
    decided: dict[str, list[int]] = {}
    pairs: dict[str, PairCounts] = {}

    def add(self, other: Period) -> None:
        """Adds another one, which stays as it is."""
        self.predicted = [mine + theirs for mine, theirs in zip(self.predicted, other.predicted, strict=True)]
        self.labelled = [mine + theirs for mine, theirs in zip(self.labelled, other.labelled, strict=True)]
        for decision, (rows, known) in other.decided.items():
            self.decide(decision, rows, known)
        for challenger, counts in other.pairs.items():
            self.pairs.setdefault(challenger, PairCounts()).add(counts)

    def decide(self, decision: str, rows: int, known: int) -> None:
        """Rows that the champion decided so, and those of them with an outcome.

        Of many decisions the first by name have a place of their own: no order of rows chooses them, and each of
        them had its place from its first row on.
        """
        mine = self.decided.setdefault(decision, [0, 0])
        mine[0] += rows
        mine[1] += known
        if len(self.decided) > _MOST_DECISIONS:
            named = [name for name in self.decided if name != OTHER]
            if len(named) > _MOST_DECISIONS:
                self.decide(OTHER, *self.decided.pop(max(named)))


class CohortsDocument(msgspec.Struct, frozen=True):
    """Cohorts as they are stored."""

    period_s: float
    periods: dict[int, Period]
    delays: LogHistogramDocument


class Cohorts:
    """Periods of one champion's rows; times in seconds since the epoch."""

    def __init__(self) -> None:
        self._period_s = _FIRST_PERIOD_S
        self._periods: dict[int, Period] = {}
        self._delays = LogHistogram()

    def fold_predicted(self, at: float, champion: str, score: float | None, decisions: Mapping[str, str]) -> None:
        """One row as it was predicted: the champion's score, and what follows from each version's prediction."""
        period = self._periods.get(math.floor(at / self._period_s)) or self._period(at)
        if score is not None and 0.0 <= score <= 1.0:
            period.predicted[min(int(score * CELLS), CELLS - 1)] += 1
        mine = decisions[champion]
        known = period.decided.get(mine)
        if known is not None:
            known[0] += 1
        else:
            period.decide(mine, 1, 0)
        for challenger, decision in decisions.items():
            if challenger == champion:
                continue
            counts = period.pairs.get(challenger)
            if counts is None:
                counts = period.pairs[challenger] = PairCounts()
            counts.rows += 1
            if decision != mine:
                counts.differing += 1

    def fold_outcome(
        self,
        at: float,
        champion: RowPrediction,
        others: Mapping[str, tuple[RowPrediction, bool | None, bool | None]],
        threshold: float,
        sign: int = 1,
    ) -> None:
        """One row whose outcome came: each challenger with whether the champion, and whether it, was right."""
        period = self._period(at)
        cell = cell_of(champion)
        if cell is not None:
            period.labelled[cell] += sign
        period.decide(decision_of(champion, threshold), 0, sign)
        for challenger, (said, was_right, is_right) in others.items():
            counts = period.pairs.setdefault(challenger, PairCounts())
            counts.labelled_differing += sign * differ(champion, said, threshold)
            if was_right is not None and is_right is not None:
                counts.better += sign * (is_right and not was_right)
                counts.worse += sign * (was_right and not is_right)
                counts.same += sign * (was_right == is_right)

    def fold_delays(self, delays_s: Sequence[float]) -> None:
        """How long outcomes took to come."""
        self._delays.update([max(0.0, delay_s) for delay_s in delays_s if math.isfinite(delay_s)])

    def forget(self, challenger: str) -> None:
        """A challenger's evidence begins anew."""
        for period in self._periods.values():
            period.pairs.pop(challenger, None)

    @property
    def maturity_s(self) -> float | None:
        """The 95th percentile of the delays; None while too few are known."""
        return self._delays.quantile(MATURE_SHARE) if self._delays.total >= _FEWEST_DELAYS else None

    def mature(self, challenger: str, now: float) -> Maturity:
        """What the rows say that are old enough at `now`."""
        after_s = self.maturity_s
        whole = Period()
        if after_s is not None:
            for place, period in list(self._periods.items()):
                if (place + 1) * self._period_s <= now - after_s:
                    whole.add(period)
        predicted, labelled = sum(rows for rows, _ in whole.decided.values()), 0
        for rows, known in whole.decided.values():
            labelled += min(rows, known)
        pair = whole.pairs.get(challenger, PairCounts())
        rest = [max(0, rows - known) for rows, known in zip(whole.predicted, whole.labelled, strict=True)]
        log_e = log_e_dependent([max(0, known) for known in whole.labelled], rest)
        same = pair.same_of_all
        rows = max(pair.rows, pair.better + pair.worse + same)
        lead, open_rows = pair.better - pair.worse, pair.unlabelled
        return Maturity(
            after_s=after_s,
            predicted=predicted,
            matched=labelled,
            coverage=labelled / predicted if predicted else None,
            better=pair.better,
            worse=pair.worse,
            same=same,
            differing=pair.differing,
            undecided=open_rows,
            bounds=((lead - open_rows) / rows, (lead + open_rows) / rows) if rows else None,
            arrival_e=math.exp(min(log_e, _MOST_LOG_E)),
            refused=_selective(whole.decided),
        )

    def merge(self, other: Cohorts) -> None:
        """Adds another one, which stays as it is."""
        self._take_in(Cohorts.from_document(other.to_document()))

    def _take_in(self, other: Cohorts) -> None:
        """Adds another one, whose periods may become longer."""
        while other._period_s < self._period_s:
            other._double()
        while self._period_s < other._period_s:
            self._double()
        for place, period in other._periods.items():
            self._periods.setdefault(place, Period()).add(period)
        self._delays.merge(other._delays)
        self._keep_limit()

    def to_document(self, *, outcomes: bool = True) -> CohortsDocument:
        """All of it; without `outcomes` only what was predicted, where outcomes are read again from elsewhere."""
        if outcomes:
            return CohortsDocument(self._period_s, self._periods, self._delays.to_document())
        periods = {
            place: Period(
                predicted=period.predicted,
                decided={decision: [rows, 0] for decision, (rows, _) in period.decided.items()},
                pairs={name: PairCounts(one.rows, one.differing) for name, one in period.pairs.items()},
            )
            for place, period in self._periods.items()
        }
        return CohortsDocument(self._period_s, periods, LogHistogramDocument())

    @classmethod
    def from_document(cls, document: CohortsDocument) -> Cohorts:
        """Reads a document back, which stays as it is; ValueError where it contradicts itself."""
        cohorts = cls()
        if not _FIRST_PERIOD_S <= document.period_s < math.inf:
            raise ValueError("the periods of outcomes are damaged")
        cohorts._period_s = document.period_s
        for place, stored in document.periods.items():
            if len(stored.predicted) != CELLS or len(stored.labelled) != CELLS:
                raise ValueError("the periods of outcomes are damaged")
            cohorts._periods[place] = Period()
            cohorts._periods[place].add(stored)
        cohorts._delays = LogHistogram.from_document(document.delays)
        return cohorts

    def _period(self, at: float) -> Period:
        place = math.floor(at / self._period_s)
        period = self._periods.get(place)
        if period is None:
            period = self._periods[place] = Period()
            self._keep_limit()
            period = self._periods[math.floor(at / self._period_s)]
        return period

    def _keep_limit(self) -> None:
        while len(self._periods) > _MOST_PERIODS:
            self._double()

    def _double(self) -> None:
        """Two neighbours become one: the borders of longer periods are borders of shorter ones."""
        self._period_s *= 2
        periods: dict[int, Period] = {}
        for place, period in self._periods.items():
            periods.setdefault(place // 2, Period()).add(period)
        self._periods = periods


def cell_of(prediction: RowPrediction) -> int | None:
    """The cell of a probability; None for any other score."""
    score = prediction.score
    return min(int(score * CELLS), CELLS - 1) if score is not None and 0.0 <= score <= 1.0 else None


def decision_of(prediction: RowPrediction, threshold: float) -> str:
    """What follows from a prediction: its label, else the side of the threshold."""
    if prediction.label is not None:
        return prediction.label[:40]
    return "1" if prediction.score is not None and prediction.score >= threshold else "0"


def decisions_of(predictions: Mapping[str, RowPrediction], threshold: float) -> dict[str, str]:
    """What follows from each version's prediction of one row."""
    return {version: decision_of(said, threshold) for version, said in predictions.items()}


def differ(one: RowPrediction, other: RowPrediction, threshold: float) -> bool:
    """Whether two versions decide differently."""
    return decision_of(one, threshold) != decision_of(other, threshold)


def _selective(decided: Mapping[str, Sequence[int]]) -> str | None:
    """Why outcomes cannot judge: they come for what the champion decided one way, and hardly for the other."""
    covered = {
        decision: known / rows for decision, (rows, known) in decided.items() if rows >= _FEWEST_DECIDED and known >= 0
    }
    if len(covered) < 2:
        return None
    best, least = max(covered.values()), min(covered, key=lambda decision: (covered[decision], decision))
    if covered[least] >= _SELECTIVE * best:
        return None
    return (
        f"outcomes come for {best:.1%} of the rows of one decision and for {covered[least]:.1%} of those that the"
        f" champion called {least}: whether a challenger is better there cannot be known from them"
    )
