"""Why an alarmed column moved: its type, its gaps, its new values, or a named fault of its values.

Keeps: one cause, from counts since the onset; "unexplained" rather than a guess. A sentence holds no value of a row:
those named stand in `Cause.values`, at most five, each cut to 40 printable characters.
Does not: decide that something moved (the e-detector did) nor what to do about it, nor compare columns (`swapped`).
Called by: a watched column after each bucket while its alarm is open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from registry_client.cells import CategoricalCells
from registry_client.log_histogram import LogHistogram
from sidecar.reports import Cause
from sidecar.stats.catalogue import Figures
from sidecar.stats.category_naming import MOST_UNSEEN, Categories, name_recode
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.naming import name_cause

Counts = NDArray[np.int64]

MOST_NAMED = 5
NAME_LENGTH = 40
# Evidence that the ordinary cells moved as well, once missing and wrong types are set aside.
_LOG_MOVED = math.log(20.0)
# Share of rows by which missing or the like must grow to be the cause although the other values moved too.
_LARGE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Moved:
    """What is known about a moved column: `counts` in its cells and `numbers`, both since about the onset.

    `unseen`: texts that training did not see, the most frequent first, with about so many `unseen_rows`; `absent`:
    values whose key the request lacked, counted as missing, too; `lengths` of values that are lists; `types` of
    those of a wrong type, with rows.
    """

    counts: Counts
    numbers: LogHistogram
    frequent: tuple[float, ...]
    unseen: tuple[str, ...]
    wrong_type: str | None
    unseen_rows: tuple[int, ...] = ()
    absent: int = 0
    lengths: tuple[int, ...] = ()
    types: Mapping[str, int] = field(default_factory=dict)


def feature_cause(baseline: FeatureBaseline, moved: Moved, tolerance: float) -> Cause:
    """The cause that counts support; `tolerance` is the effective one of the column, in nats."""
    cells = baseline.cells
    trained = np.asarray(baseline.counts, dtype=np.int64)
    gaps = {"type": cells.wrong_type_index, "missing": cells.missing_index}
    special = gaps if cells.unseen_index is None else {**gaps, "new_category": cells.unseen_index}
    live_n, trained_n = max(int(moved.counts.sum()), 1), int(trained.sum())
    grown = {name: float(moved.counts[index] / live_n - trained[index] / trained_n) for name, index in special.items()}
    most = max(grown, key=grown.__getitem__)
    ordinary, known = np.ones(cells.size, dtype=bool), np.ones(cells.size, dtype=bool)
    ordinary[list(special.values())] = known[list(gaps.values())] = False
    gaps_moved = _moved(_gathered(trained, special), _gathered(moved.counts, special), tolerance)
    # Something moved, that is known: where it was no gap, it must have been the values, however little.
    values_moved = _moved(trained[ordinary], moved.counts[ordinary], tolerance) or not gaps_moved
    named = None
    if baseline.kind == "categorical" and _moved(trained[known], moved.counts[known], tolerance):
        named = _recoded(baseline, moved, tolerance)
    elif values_moved and baseline.kind == "numeric":
        values, counts = moved.numbers.atoms()
        named = name_cause(
            baseline.quantiles,
            values,
            counts,
            coarsening=moved.numbers.coarsening,
            frequent=moved.frequent,
            figures=figures_of(baseline),
            tolerance=tolerance,
        )
    if named is not None and named.kind != "unexplained":
        return named
    if grown[most] > 0 and gaps_moved and (not values_moved or grown[most] >= _LARGE_SHARE):
        share = float(moved.counts[special[most]] / live_n)
        return _special(most, baseline, moved, share, explained=0.0 if values_moved else 1.0)
    return named or Cause(kind="unexplained", says="the values are distributed unlike training's")


def figures_of(baseline: FeatureBaseline) -> Figures | None:
    """What a scaler would have taken from a numeric column; None for others."""
    mean, sd, low, high = baseline.mean, baseline.sd, baseline.minimum, baseline.maximum
    if mean is None or sd is None or low is None or high is None:
        return None
    return Figures(mean, sd, low, high, rows=baseline.n - baseline.missing - baseline.wrong_type)


def printable(text: str) -> str:
    """A value's text fit for a sentence: 40 characters, controls and line ends shown as a replacement mark.

    >>> printable("a" * 50) == "a" * 39 + "…", printable("x" + chr(10))
    (True, 'x�')
    """
    cut = text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in cut)


def _gathered(counts: Counts, cells: Mapping[str, int]) -> Counts:
    """The counts of some cells, and of all others together."""
    some = counts[list(cells.values())]
    return np.append(some, counts.sum() - some.sum())


def _moved(trained: Counts, live: Counts, tolerance: float) -> bool:
    if not trained.any():
        return bool(live.any())
    return float(TolerantTest(trained).log_e(live[None, :], tolerance)[0]) >= _LOG_MOVED


def _recoded(baseline: FeatureBaseline, moved: Moved, tolerance: float) -> Cause | None:
    """A named fault of categories; None on too few rows."""
    cells = baseline.cells
    if not isinstance(cells, CategoricalCells):
        return None
    known, unseen = len(baseline.categories), cells.unseen_index
    rows = moved.unseen_rows or (1,) * len(moved.unseen)
    cause = name_recode(
        Categories(
            categories=baseline.categories,
            trained=baseline.counts[:known],
            live=tuple(moved.counts[:known].tolist()),
            tail=baseline.tail,
            trained_tail=sum(baseline.counts[known:unseen]),
            live_tail=int(moved.counts[known:unseen].sum()),
            unseen=tuple(zip(moved.unseen, rows, strict=False))[:MOST_UNSEEN],
            trained_unseen=baseline.counts[unseen],
            live_unseen=int(moved.counts[unseen]),
        ),
        tolerance=tolerance,
    )
    if cause is None:
        return None
    value = printable(cause.value) if isinstance(cause.value, str) else cause.value
    told = tuple(_both_printable(text) for text in cause.values[:MOST_NAMED])
    return msgspec.structs.replace(cause, values=told, value=value)


def _both_printable(text: str) -> str:
    """`was → now`, each cut by itself."""
    return " → ".join(printable(part) for part in text.split(" → ", 1))


def _special(kind: str, baseline: FeatureBaseline, moved: Moved, share: float, *, explained: float) -> Cause:
    rounded = round(share, 4)
    if kind == "missing":
        usual = baseline.missing / baseline.n
        says = f"{share:.1%} of the values are missing; in training {usual:.1%} were"
        if moved.absent >= 0.9 * moved.counts[baseline.cells.missing_index]:
            says += "; requests lack the key itself"
        return Cause(kind="missing", says=says, share=rounded, explained=explained)
    if kind == "type":
        type_from = "number" if baseline.kind == "numeric" else "category"
        says = f"{share:.1%} of the values come as {moved.wrong_type or 'another type'} instead of {type_from}"
        if moved.lengths:
            says += f" (of length {' or '.join(str(length) for length in moved.lengths[:3])})"
        return Cause(
            kind="type", says=says, share=rounded, explained=explained, type_from=type_from, type_to=moved.wrong_type
        )
    values = tuple(printable(text) for text in moved.unseen[:MOST_NAMED])
    says = f"{share:.1%} of the values were never seen in training"
    return Cause(kind="new_category", says=says, share=rounded, explained=explained, values=values)
