"""Champion and one challenger on the same rows with the same outcome: who was right, whose losses are smaller, where.

Invariant: counts add and can be taken back (sums of losses up to rounding). Rows where either can be neither right nor
wrong are in no count, but amounts, which have their errors compared. Does not judge. Used by the quality observer.
Source: pairs by Dietterich 1998 (McNemar); which segments by e-BH, `stats.e_bh`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from sidecar.observe.judged_rows import Floats, Integers, JudgedRows
from sidecar.observe.tally import Tally, TallyDocument
from sidecar.reports import Interval, SegmentQuality
from sidecar.stats.calibration import CrossCalibration, error_difference
from sidecar.stats.e_bh import e_bh
from sidecar.stats.mean_interval import mean_interval
from sidecar.stats.paired import difference_interval, log_e_inferior

MOST_SEGMENTS = 64
OTHER = "other"
_MOST_LOG_E = 690.0


class LossGap(msgspec.Struct):
    """Differences of one loss on the same rows, challenger less champion."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, differences: Floats, signs: Integers) -> None:
        """Rows."""
        self.n += int(signs.sum())
        self.total += float((signs * differences).sum())
        self.squares += float((signs * differences * differences).sum())

    def merge(self, other: LossGap) -> None:
        """Adds another one, which stays as it is."""
        self.n += other.n
        self.total += other.total
        self.squares += other.squares

    def interval(self) -> Interval | None:
        """Of the mean; None for too few rows."""
        if self.n <= 0:
            return None
        spread = math.sqrt(max(0.0, self.squares / self.n))
        bounds = mean_interval(self.n, self.total, max(0.0, self.squares), scale=spread)
        return None if bounds is None else Interval(self.total / self.n, *bounds)


class QualityPairDocument(msgspec.Struct, frozen=True):
    """A pair as it is stored."""

    champion: TallyDocument
    challenger: TallyDocument
    rows: tuple[int, int, int]
    losses: dict[str, LossGap]
    cross: CrossCalibration
    segments: dict[str, tuple[int, int, int]]


class QualityPair:
    """`better`: rows on which only the challenger was right, `worse` only the champion, `same` both or none."""

    __slots__ = ("_cross", "_losses", "_segments", "better", "challenger", "champion", "same", "worse")

    def __init__(self) -> None:
        self.champion, self.challenger = Tally(), Tally()
        self.better = self.worse = self.same = 0
        self._losses: dict[str, LossGap] = {}
        self._cross = CrossCalibration()
        self._segments: dict[str, tuple[int, int, int]] = {}

    def add(
        self, champion: JudgedRows, challenger: JudgedRows, signs: Integers, segments: Sequence[Sequence[str]]
    ) -> None:
        """Rows of both; a sign of -1 takes one back. `segments` of each row, or none of any."""
        both = champion.judged & challenger.judged
        amounts = ~np.isnan(champion.error) & ~np.isnan(challenger.error)
        counted = signs * (both | amounts)
        self.champion.add(champion, counted)
        self.challenger.add(challenger, counted)
        better, worse = both & challenger.right & ~champion.right, both & champion.right & ~challenger.right
        same = both & (champion.right == challenger.right)
        counts = [int(signs[where].sum()) for where in (better, worse, same)]
        self.better += counts[0]
        self.worse += counts[1]
        self.same += counts[2]
        for place in np.flatnonzero(both).tolist() if segments else ():
            row = int(better[place]), int(worse[place]), int(same[place])
            for segment in segments[place]:
                self._segment(segment, row, int(signs[place]))
        one, two = champion.scored, challenger.scored
        scored = np.zeros(signs.size, dtype=bool)
        if one.place.size and two.place.size:
            shared, first, second = np.intersect1d(one.place, two.place, assume_unique=True, return_indices=True)
            scored[shared] = True
            mine = signs[shared]
            self._loss("brier", two.brier[second] - one.brier[first], mine)
            self._loss("log_loss", two.log_loss[second] - one.log_loss[first], mine)
            gaps = one.came_true[first] - one.score[first], two.came_true[second] - two.score[second]
            self._cross.add_many((one.bin[first], two.bin[second]), gaps, mine)
        measured = amounts & ~scored
        if measured.any():
            sizes = np.abs(challenger.error[measured]) - np.abs(champion.error[measured])
            self._loss("mae", sizes, signs[measured])

    def merge(self, other: QualityPair) -> None:
        """Adds another one, which counts the same afterwards."""
        self.champion.merge(other.champion)
        self.challenger.merge(other.challenger)
        self.better += other.better
        self.worse += other.worse
        self.same += other.same
        for name, gap in other._losses.items():
            self._losses.setdefault(name, LossGap()).merge(gap)
        self._cross.merge(other._cross)
        for segment, counts in other._segments.items():
            self._segment(segment, counts, 1)

    def gaps(self) -> dict[str, Interval]:
        """Challenger less champion, by metric; those that are not known are left out."""
        known: dict[str, Interval | None] = {}
        n = self.better + self.worse + self.same
        if n > 0:
            bounds = difference_interval(self.better, self.worse, self.same)
            known["accuracy"] = Interval((self.better - self.worse) / n, *bounds)
        for name, gap in self._losses.items():
            known[name] = gap.interval()
        calibration = error_difference(self.champion.calibration, self.challenger.calibration, self._cross)
        if calibration is not None and all(map(math.isfinite, calibration)):
            known["ece"] = Interval(*calibration)
        return {name: gap for name, gap in sorted(known.items()) if gap is not None}

    def segment_reports(self) -> tuple[SegmentQuality, ...]:
        """Every segment with an outcome, by name; which are inferior is told for all of them together."""
        found = sorted((segment, counts) for segment, counts in self._segments.items() if any(counts))
        e_values = [math.exp(min(log_e_inferior(*counts), _MOST_LOG_E)) for _, counts in found]
        inferior = set(e_bh(e_values)) if found else set()
        return tuple(
            SegmentQuality(
                segment=segment,
                matched=sum(counts),
                better=counts[0],
                worse=counts[1],
                same=counts[2],
                e_inferior=e_value,
                inferior=place in inferior,
            )
            for place, ((segment, counts), e_value) in enumerate(zip(found, e_values, strict=True))
        )

    def to_document(self, *, ranked: bool = True) -> QualityPairDocument:
        """All of it, for the snapshot; without the areas under the curves where not `ranked`."""
        return QualityPairDocument(
            champion=self.champion.to_document(ranked=ranked),
            challenger=self.challenger.to_document(ranked=ranked),
            rows=(self.better, self.worse, self.same),
            losses=self._losses,
            cross=self._cross,
            segments=self._segments,
        )

    @classmethod
    def from_document(cls, document: QualityPairDocument) -> QualityPair:
        """Reads a document back; ValueError where it contradicts itself."""
        pair = cls()
        pair.champion, pair.challenger = (Tally.from_document(one) for one in (document.champion, document.challenger))
        pair.better, pair.worse, pair.same = document.rows
        pair._losses, pair._cross, pair._segments = document.losses, document.cross, document.segments
        return pair

    def _loss(self, name: str, differences: Floats, signs: Integers) -> None:
        self._losses.setdefault(name, LossGap()).add(differences, signs)

    def _segment(self, segment: str, counts: Sequence[int], sign: int) -> None:
        if segment not in self._segments and len(self._segments) >= MOST_SEGMENTS:
            segment = OTHER
        better, worse, same = self._segments.get(segment, (0, 0, 0))
        self._segments[segment] = better + sign * counts[0], worse + sign * counts[1], same + sign * counts[2]
