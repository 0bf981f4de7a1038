"""How often the champion contradicts itself when it is asked twice: disagreement means something above that only.

Invariant: counts add and are of the same rows for both: the champion's first answer beside its second, and beside the
challenger's. Does not ask (`control/noise_floor` does) nor judge. Used by the comparison observer.
Source: Diffy (Twitter 2015): primary, secondary, candidate; the difference by `stats.paired`, valid at every look.
"""

from __future__ import annotations

import math

import msgspec

from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.observe.agreement import Tolerance
from sidecar.records import Prediction
from sidecar.reports import Interval, NoiseFloor
from sidecar.stats.paired import difference_interval


class NoiseDocument(msgspec.Struct, frozen=True):
    """Noise counts as they are stored: rows on which both differ, only the champion's second answer, only the other."""

    rows: int = 0
    both: int = 0
    itself: int = 0
    other: int = 0
    scores: LogHistogramDocument = LogHistogramDocument()


class NoiseCounts:
    """Rows that were asked again."""

    def __init__(self) -> None:
        self._rows = self._both = self._itself = self._other = 0
        self._scores = LogHistogram()

    def fold(self, first: Prediction, again: Prediction, challenger: Prediction, tolerance: Tolerance) -> bool:
        """The champion's two answers to one request and the challenger's; False where they cannot be compared."""
        itself, other = unlike(first, again, tolerance), unlike(first, challenger, tolerance)
        if itself is None or other is None:
            return False
        for differs, differs_too in zip(itself, other, strict=True):
            self._rows += 1
            self._both += differs and differs_too
            self._itself += differs and not differs_too
            self._other += differs_too and not differs
        for one, two in zip(first.scores or (), again.scores or (), strict=False):
            if math.isfinite(one) and math.isfinite(two):
                self._scores.add(abs(two - one))
        return True

    def merge(self, other: NoiseCounts) -> None:
        """Adds another one, which stays as it is."""
        self._rows += other._rows
        self._both += other._both
        self._itself += other._itself
        self._other += other._other
        self._scores.merge(other._scores)

    def report(self) -> NoiseFloor | None:
        """None before the first row."""
        rows = self._rows
        if not rows:
            return None
        contradicts, differs = self._both + self._itself, self._both + self._other
        bounds = difference_interval(self._other, self._itself, rows - self._other - self._itself)
        says = None
        if contradicts:
            says = (
                f"asked again, the champion said something else on {contradicts:,} of {rows:,} rows: it is not"
                " deterministic, or what it answers depends on the time"
            )
        return NoiseFloor(
            rows=rows,
            self_disagreement=contradicts / rows,
            disagreement=differs / rows,
            excess=Interval((differs - contradicts) / rows, *bounds),
            score_noise=self._scores.quantile(0.95) if self._scores.total else None,
            says=says,
        )

    def to_document(self) -> NoiseDocument:
        """All of it, for the snapshot."""
        return NoiseDocument(self._rows, self._both, self._itself, self._other, self._scores.to_document())

    @classmethod
    def from_document(cls, document: NoiseDocument) -> NoiseCounts:
        """Reads a document back; ValueError where it contradicts itself."""
        if min(document.both, document.itself, document.other) < 0 or (
            document.both + document.itself + document.other > document.rows
        ):
            raise ValueError("more rows differ than were asked again")
        counts = cls()
        counts._rows, counts._both = document.rows, document.both
        counts._itself, counts._other = document.itself, document.other
        counts._scores = LogHistogram.from_document(document.scores)
        return counts


def unlike(one: Prediction, other: Prediction, tolerance: Tolerance) -> list[bool] | None:
    """By row whether two answers differ, on labels where both have them, else on scores; None if not comparable."""
    if one.rows != other.rows:
        return None
    if one.labels is not None and other.labels is not None:
        return [said != again for said, again in zip(one.labels, other.labels, strict=True)]
    if one.scores is None or other.scores is None:
        return None
    return [
        not (said == again or (math.isnan(said) and math.isnan(again)) or tolerance.near(again - said, said))
        for said, again in zip(one.scores, other.scores, strict=True)
    ]
