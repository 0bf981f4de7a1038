"""Whether whole rows moved where predictions did and no feature by itself: kept healthy rows against newer ones.

Keeps: rows in memory only, one a request, at most 192 a set and five sets, none older than the settings' `keep_s`; no
rows, nothing said. An alarm's rows are looked at at most four times, each time fresh ones; "inputs moved" is said
wrongly for at most one alarm in a hundred in which they did not, however the looks depend on each other.
Does not: raise alarms, say which way anything moved, reach a snapshot, log or metric; sentences hold names only.
Called by: the watch on inputs. Source: stats/joint_drift; the mean of four e-values over the same healthy rows is one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline, FeatureBaseline
from sidecar.observe.kept_rows import KeptRow
from sidecar.reports import DriftReport
from sidecar.stats.joint_drift import joint_drift, strengths

ROWS: Final = 192
LOOKS: Final = 4
ERROR: Final = 0.01  # of an alarm whose inputs did not move
_FEWEST_HEALTHY = 64
_SETS = 3
_MOST_FEATURES = 32
_MOST_CATEGORIES = 6
_MOST_COLUMNS = 32
_NAMED = 3


class JointWatch:
    """Watches the rows of `baseline`'s features, the weightiest 32 of them. `age_s`: the oldest that a row may be."""

    __slots__ = (
        "_after",
        "_age_s",
        "_before",
        "_e_sum",
        "_features",
        "_gathering",
        "_healthy",
        "_looks",
        "_pace_s",
        "says",
    )

    def __init__(self, baseline: Baseline, age_s: float) -> None:
        by_weight = sorted(baseline.features, key=lambda feature: -(feature.importance or 0.0))
        self._features = tuple(by_weight[:_MOST_FEATURES])
        self._age_s = age_s
        # Spread out, so that no set is one caller's burst; four looks fit into a quarter of the age all the same.
        self._pace_s = age_s / (16 * ROWS)
        self._gathering: list[KeptRow] = []
        self._healthy: deque[list[KeptRow]] = deque(maxlen=_SETS)
        self._before: list[KeptRow] | None = None  # while predictions alarm and no feature does
        self._after: list[KeptRow] = []
        self._looks, self._e_sum = 0, 0.0
        self.says: str | None = None

    def fold(self, row: KeptRow) -> None:
        """One row of a request. Rows of one request are alike, so more of them would be no more evidence."""
        into = self._gathering if self._before is None else self._after
        if len(into) < ROWS and (not into or abs(row.at - into[-1].at) >= self._pace_s):
            into.append(row)

    def look(self, report: DriftReport, now: float) -> None:
        """Takes a healthy set while nothing alarms; compares once enough fresh rows came after an alarm began."""
        self.expire(now)
        prediction = report.prediction
        inputs = any(column.alarm for column in (*report.features, report.schema) if column is not None)
        if prediction is None or not prediction.alarm or inputs:
            self._heal(alarmed=inputs, now=now)
            return
        if self._before is None:
            # Always the oldest set: which rows are compared is no choice made after seeing them.
            oldest = self._healthy[0] if self._healthy else []
            clean = bool(oldest) and max(row.at for row in oldest) < (prediction.since or 0.0)
            self._before = oldest if clean else []
            self._after = []
        if self._looks >= LOOKS or len(self._after) < ROWS or len(self._before) < _FEWEST_HEALTHY:
            return
        self._compare(self._before, self._after)
        self._after = []

    def _compare(self, before: Sequence[KeptRow], after: Sequence[KeptRow]) -> None:
        names, table = _table([*before, *after], self._features)
        # Requests' ids know nothing of the values, so what they deal is independent of them.
        seed = hashlib.sha256("\0".join(row.request_id for row in (*before, *after)).encode("utf-8", "replace"))
        rng = np.random.default_rng(int.from_bytes(seed.digest(), "big"))
        found = joint_drift(table[: len(before)], table[len(before) :], rng)
        self._looks += 1
        self._e_sum += math.exp(min(found.log_e, 700.0)) / LOOKS
        if self._e_sum >= 1.0 / ERROR:
            self._looks = LOOKS
            leans = _most(names, strengths(table[: len(before)], table[len(before) :]))
            self.says = f"no single feature moved, but their joint distribution did, most where {leans} take part"
        elif self._looks == LOOKS:
            self.says = (
                f"no feature moved, and {LOOKS * len(after)} whole rows look like the {len(before)} before: "
                "the model or its labels, not the inputs, changed as far as these rows show"
            )

    def _heal(self, *, alarmed: bool, now: float) -> None:
        """No joint question stands. Rows of a feed that alarms are no measure of health."""
        if alarmed or self._before is not None:
            self._gathering = []
            self._healthy.clear()
            self._before, self._after = None, []
            self._looks, self._e_sum, self.says = 0, 0.0, None
        gathered = self._gathering
        if len(gathered) >= _FEWEST_HEALTHY and now - gathered[0].at >= self._age_s / 4:
            self._healthy.append(gathered)
            self._gathering = []

    def expire(self, now: float) -> None:
        """Drops what is too old at `now`, seconds since the epoch."""
        oldest = now - self._age_s
        for rows in (self._gathering, self._after, self._before or [], *self._healthy):
            if rows and rows[0].at < oldest:
                rows[:] = [row for row in rows if row.at >= oldest]
        while self._healthy and len(self._healthy[0]) < _FEWEST_HEALTHY:
            self._healthy.popleft()


def _table(rows: Sequence[KeptRow], features: Iterable[FeatureBaseline]) -> tuple[list[str], NDArray[np.float64]]:
    """Rows as numbers, and whose each column is: a number as it is, a text of few as one column of 0 and 1 each."""
    names: list[str] = []
    columns: list[list[float]] = []
    for feature in features:
        values = [row.values.get(feature.name) for row in rows]
        if feature.kind == "numeric":
            names.append(feature.name)
            columns.append([_number(value) for value in values])
            continue
        texts = [None if value is None else str(value) for value in values]
        # Over both sets at once, so that what is looked at does not depend on which set a row is of.
        often = sorted(Counter(text for text in texts if text is not None).items(), key=lambda it: (-it[1], it[0]))
        for text, _ in often[:_MOST_CATEGORIES]:
            names.append(feature.name)
            columns.append([math.nan if value is None else float(value == text) for value in texts])
    kept = columns[:_MOST_COLUMNS]
    return names[:_MOST_COLUMNS], np.array(kept, dtype=np.float64).reshape(len(kept), len(rows)).T


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _most(names: Sequence[str], weights: Sequence[float]) -> str:
    """The features that the classifier leans on most, at most three and none with less than half of the first."""
    total: dict[str, float] = {}
    for name, weight in zip(names, weights, strict=True):
        total[name] = total.get(name, 0.0) + weight
    ranked = sorted(total.items(), key=lambda it: -it[1])
    told = [name for name, weight in ranked[:_NAMED] if weight >= ranked[0][1] / 2]
    return " and ".join(told)
