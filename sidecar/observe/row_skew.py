"""The same rows written by two pipelines: per feature the share that differs, by how much, and the named reason.

Keeps: counts only (rows, cells of ratios and differences, rows that each form explains); no value, and no row twice.
A feature's alarm needs evidence that more than `TOLERATED` of its rows differ, valid at any look and for all features
together; it closes when a whole block of newer rows agrees. Rows of long ago hide no fault of today: half a stretch
that shows nothing is forgotten once the next half is there.
Does not: find rows (`kept_rows` does), read a clock, write anything. Called by control's `truths`.
Source: `risk_log_e` (Podkopaev & Ramdas 2022), a Bonferroni bound over the features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline, FeatureBaseline
from registry_client.column import category_text
from registry_client.log_histogram import LogHistogram, LogHistogramDocument, cell_of
from sidecar.observe.kept_rows import KeptRow
from sidecar.observe.outcomes import as_number
from sidecar.observe.row_forms import (
    MISSING_LIVE,
    MISSING_OFFLINE,
    TYPE_KEY,
    explained_numbers,
    explained_text,
    explained_type,
    form_of,
)
from sidecar.reports import Cause, FeatureSkew, RowSkewReport
from sidecar.stats.confidence import proportion_interval, risk_log_e

TOLERATED = 0.01  # share of rows that may differ: late corrections, races between two stores
SAME = 1e-6  # numbers are the same within this share of the larger one: float32, or seven printed digits
NAMED_SHARE = 0.9
BLOCK_ROWS = 200  # so many newer rows that agree close an alarm
HALF_STRETCH_ROWS = 2_500
_ALPHA = 0.01
_FEWEST_TO_NAME = 10
_MOST_FEATURES = 5_000
_MOST_FORMS = 200
_MOST_CELLS = 3
_MOST_LINES = 8
_LARGEST_LOG = math.log(1e300)
_FORMAT: Literal[1] = 1

Pair = tuple[object, object]  # offline, live


class _Counts(msgspec.Struct):
    """One feature: the rows since it was last well (at most a stretch of well ones), the newest of them (`block`), and
    what the differing rows look like.
    """

    kind: Literal["numeric", "categorical"]
    compared: int = 0
    differs: int = 0
    block: int = 0
    block_differs: int = 0
    first_at: float | None = None
    since: float | None = None
    forms: dict[str, int] = {}
    ratios: LogHistogramDocument = LogHistogramDocument()
    differences: LogHistogramDocument = LogHistogramDocument()
    # Of offline values that differ, a few cells of a histogram: a form must hold for more than one of them.
    cells: list[int] = []


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    rows: int
    began_at: float
    features: dict[str, _Counts]


class RowSkew:
    """All features of one deployment. `baseline` tells kinds and scalers; without one, values tell their kind."""

    def __init__(self, baseline: Baseline | None, *, now: float) -> None:
        self._baselines = dict(baseline.by_name) if baseline is not None else {}
        self._began_at = now
        self._rows = 0
        self._features: dict[str, _Counts] = {}
        self.unnamed = 0
        self._report: RowSkewReport | None = None

    @property
    def rows(self) -> int:
        """Rows that were compared."""
        return self._rows

    def compare(self, pairs: Sequence[tuple[KeptRow, Mapping[str, object]]]) -> None:
        """Takes rows as they were live, each with the offline pipeline's values for it.

        A feature that is in neither the baseline nor the live row is counted as `unnamed` and else ignored.
        """
        if not pairs:
            return
        self._report = None
        self._rows += len(pairs)
        columns: dict[str, list[tuple[float, Pair]]] = {}
        for row, offline in pairs:
            for name, value in offline.items():
                if name not in row.values and name not in self._baselines:
                    self.unnamed += 1
                else:
                    columns.setdefault(name, []).append((row.at, (value, row.values.get(name))))
        for name, column in columns.items():
            if name in self._features or len(self._features) < _MOST_FEATURES:
                self._compare(name, column)

    def report(self) -> RowSkewReport:
        """Every feature that was compared, the most differing first."""
        if self._report is not None:
            return self._report
        found = [self._feature(name, counts) for name, counts in self._features.items()]
        ranked = sorted(
            found, key=lambda feature: (not feature.alarm, -feature.share_lower, -feature.share, feature.name)
        )
        self._report = RowSkewReport(since=self._began_at, rows=self._rows, features=tuple(ranked))
        return self._report

    def snapshot(self) -> bytes:
        """All counts, for the store."""
        return msgspec.msgpack.encode(_Snapshot(_FORMAT, self._rows, self._began_at, self._features))

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)  # msgspec's errors are ValueErrors as well
        for counts in stored.features.values():
            LogHistogram.from_document(counts.ratios), LogHistogram.from_document(counts.differences)
            if not 0 <= counts.differs <= counts.compared:
                raise ValueError("a feature has more differing rows than compared ones")
        self._rows, self._began_at, self._features = stored.rows, stored.began_at, stored.features
        self._report = None

    def _compare(self, name: str, column: list[tuple[float, Pair]]) -> None:
        baseline = self._baselines.get(name)
        counts = self._features.get(name)
        if counts is None:
            counts = self._features[name] = _Counts(_kind(baseline, column))
        numeric = counts.kind == "numeric"
        differing = [(at, pair) for at, pair in column if not (_same_number(*pair) if numeric else _same_text(*pair))]
        counts.compared += len(column)
        counts.differs += len(differing)
        if differing:
            first = min(at for at, _ in differing)
            counts.first_at = first if counts.first_at is None else min(counts.first_at, first)
            self._explain(counts, baseline, [pair for _, pair in differing])
        self._judge(counts, len(column), len(differing))

    def _explain(self, counts: _Counts, baseline: FeatureBaseline | None, pairs: list[Pair]) -> None:
        numbers: list[tuple[float, float]] = []
        for offline, live in pairs:
            left, right = _number(offline), _number(live, strict=True)
            if _missing(offline) or _missing(live):
                _add(counts, (MISSING_LIVE if _missing(live) else MISSING_OFFLINE).key)
            elif counts.kind == "numeric" and left is not None and right is not None:
                numbers.append((left, right))
                if len(counts.cells) < _MOST_CELLS and not math.isnan(left):
                    _see(counts, cell_of(left))
            else:
                keys = explained_text(offline, live) if counts.kind == "categorical" else ()
                for key in (*keys, *((TYPE_KEY,) if explained_type(offline, live) else ())):
                    _add(counts, key)
        finite = np.array([pair for pair in numbers if all(map(math.isfinite, pair))], dtype=np.float64).reshape(-1, 2)
        if not len(finite):
            return
        before, after = finite[:, 0], finite[:, 1]
        known = [key for key in counts.forms if key.startswith("line ")][:_MOST_LINES]
        for key, rows in explained_numbers(before, after, baseline, known).items():
            _add(counts, key, int(rows.sum()))
        with np.errstate(all="ignore"):
            counts.ratios = _updated(counts.ratios, (after / before)[before != 0])
            counts.differences = _updated(counts.differences, after - before)

    def _judge(self, counts: _Counts, rows: int, differing: int) -> None:
        counts.block += rows
        counts.block_differs += differing
        if counts.since is None:
            log_e = self._log_e(counts)
            if log_e >= math.log(max(len(self._baselines), len(self._features)) / _ALPHA):
                counts.since = counts.first_at
                counts.block = counts.block_differs = 0
            elif counts.block >= HALF_STRETCH_ROWS:
                if log_e <= 0.0:
                    _begin_anew(counts)
                counts.block = counts.block_differs = 0
        elif counts.block >= BLOCK_ROWS:
            if counts.block_differs <= TOLERATED * counts.block:
                _begin_anew(counts)
            else:
                counts.block = counts.block_differs = 0

    @staticmethod
    def _log_e(counts: _Counts) -> float:
        return risk_log_e(counts.differs, counts.compared, TOLERATED)

    def _feature(self, name: str, counts: _Counts) -> FeatureSkew:
        n, differs = counts.compared, counts.differs
        return FeatureSkew(
            name=name,
            kind=counts.kind,
            compared=n,
            differs=differs,
            share=differs / n if n else 0.0,
            share_lower=proportion_interval(differs, n, _ALPHA)[0],
            median_ratio=_median(counts.ratios),
            median_difference=_median(counts.differences),
            e_value=math.exp(min(self._log_e(counts), _LARGEST_LOG)),
            alarm=counts.since is not None,
            since=counts.since if counts.since is not None else counts.first_at,
            cause=_cause(counts),
        )


def _cause(counts: _Counts) -> Cause | None:
    """The form that explains nine in ten of the differing rows, more than one value among them; else unexplained."""
    if counts.differs < _FEWEST_TO_NAME:
        return None
    order = list(counts.forms.items())
    named = [(n, -place, form) for place, (key, n) in enumerate(order) if (form := form_of(key)) is not None]
    best = max(named, key=lambda found: found[:2], default=None)
    if best is not None and best[0] >= NAMED_SHARE * counts.differs:
        tells = best[2].kind in ("missing", "type") or len(counts.cells) >= _MOST_CELLS or counts.kind == "categorical"
        if tells:
            return best[2].cause(best[0] / counts.differs)
    return Cause(kind="unexplained", says="the two values differ in no way that has a name")


def _begin_anew(counts: _Counts) -> None:
    fresh = _Counts(counts.kind, compared=counts.block, differs=counts.block_differs)
    for name in counts.__struct_fields__:
        setattr(counts, name, getattr(fresh, name))


def _add(counts: _Counts, key: str, rows: int = 1) -> None:
    if key in counts.forms or len(counts.forms) < _MOST_FORMS:
        counts.forms[key] = counts.forms.get(key, 0) + rows


def _see(counts: _Counts, cell: int) -> None:
    if cell not in counts.cells:
        counts.cells.append(cell)


def _updated(document: LogHistogramDocument, values: NDArray[np.float64]) -> LogHistogramDocument:
    histogram = LogHistogram.from_document(document)
    histogram.update(values)
    return histogram.to_document()


def _median(document: LogHistogramDocument) -> float | None:
    if not document.cells:
        return None
    median = LogHistogram.from_document(document).quantile(0.5)
    return median if math.isfinite(median) else None


def _kind(baseline: FeatureBaseline | None, column: Iterable[tuple[float, Pair]]) -> Literal["numeric", "categorical"]:
    if baseline is not None:
        return baseline.kind
    said = [value for _, pair in column for value in pair if not _missing(value)]
    return "numeric" if said and all(_number(value, strict=True) is not None for value in said) else "categorical"


def _missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _number(value: object, *, strict: bool = False) -> float | None:
    """A number as float; texts that spell one count only where the pipeline may have gone through a CSV file."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return as_number(value) if isinstance(value, str) and not strict else None


def _same_number(offline: object, live: object) -> bool:
    if _missing(offline) or _missing(live):
        return _missing(offline) and _missing(live)
    left, right = _number(offline), _number(live, strict=True)
    if left is None or right is None:
        return False
    return left == right or abs(left - right) <= SAME * max(abs(left), abs(right))


def _same_text(offline: object, live: object) -> bool:
    if _missing(offline) or _missing(live):
        return _missing(offline) and _missing(live)
    left = category_text(offline)
    return left is not None and left == category_text(live)
