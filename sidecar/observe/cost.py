"""What a stretch of time cost: rows, disagreements, and who was right, per version and per pair, from stored decisions.

Invariant: counts add; a row counts for a pair only where both versions can be compared, and "would have been right" is
said only of rows whose outcome is known. Labels, scores and outcomes only, no feature. Does not read a store.
Called by: `control/cost`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from sidecar.observe.agreement import Tolerance
from sidecar.observe.judged import RowPrediction, judge
from sidecar.recorded import PairCost, VersionCost


class _Version(msgspec.Struct):
    answered: int = 0
    shadowed: int = 0
    outcomes: int = 0
    right: int = 0
    wrong: int = 0
    errors: int = 0
    error_sum: float = 0.0


class _Pair(msgspec.Struct):
    rows: int = 0
    disagreements: int = 0
    champion_right: int = 0
    challenger_right: int = 0
    undecided: int = 0


class CostCounts:
    """Folds rows. `tolerance`: how near scores agree, and from where on they mean the positive class."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._versions: dict[str, _Version] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self.rows = 0

    def fold(self, champion: str, predictions: Mapping[str, RowPrediction], outcome: str | float | None) -> None:
        """One row: who answered, what each version said, and what turned out to be true (None: not known)."""
        self.rows += 1
        right: dict[str, bool | None] = {}
        for version, said in predictions.items():
            counted = self._versions.setdefault(version, _Version())
            if version == champion:
                counted.answered += 1
            else:
                counted.shadowed += 1
            right[version] = None if outcome is None else self._judge(counted, said, outcome)
        mine = predictions.get(champion)
        if mine is None:
            return
        for version, said in predictions.items():
            if version != champion:
                self._compare((champion, version), mine, said, right[champion], right[version])

    def versions(self) -> tuple[VersionCost, ...]:
        """Each version; the one that answered most rows first."""
        order = sorted(self._versions.items(), key=lambda item: (-item[1].answered, item[0]))
        return tuple(
            VersionCost(
                version=version,
                answered=counted.answered,
                shadowed=counted.shadowed,
                outcomes=counted.outcomes,
                right=counted.right,
                wrong=counted.wrong,
                mean_error=counted.error_sum / counted.errors if counted.errors else None,
            )
            for version, counted in order
        )

    def pairs(self) -> tuple[PairCost, ...]:
        """Each champion beside each version that scored its rows; the most rows first."""
        order = sorted(self._pairs.items(), key=lambda item: (-item[1].rows, item[0]))
        return tuple(
            PairCost(champion=names[0], other=names[1], **msgspec.structs.asdict(counted)) for names, counted in order
        )

    def _judge(self, counted: _Version, said: RowPrediction, outcome: str | float) -> bool | None:
        judged = judge(said, outcome, self._tolerance.threshold)
        counted.outcomes += 1
        if judged.right is not None:
            counted.right += judged.right
            counted.wrong += not judged.right
        elif judged.error is not None:
            counted.errors += 1
            counted.error_sum += abs(judged.error)
        return judged.right

    def _compare(
        self, names: tuple[str, str], mine: RowPrediction, theirs: RowPrediction, i: bool | None, they: bool | None
    ) -> None:
        differ = self._differ(mine, theirs)
        if differ is None:
            return
        pair = self._pairs.setdefault(names, _Pair())
        pair.rows += 1
        pair.disagreements += differ
        if i is not None and they is not None:
            pair.champion_right += i and not they
            pair.challenger_right += they and not i
        elif differ:
            pair.undecided += 1

    def _differ(self, mine: RowPrediction, theirs: RowPrediction) -> bool | None:
        if mine.label is not None and theirs.label is not None:
            return mine.label != theirs.label
        if mine.score is None or theirs.score is None:
            return None
        difference = theirs.score - mine.score
        return not (math.isfinite(difference) and self._tolerance.near(difference, mine.score))
