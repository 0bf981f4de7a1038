"""Real and simulated histories of a model in service: a reference with outcomes, then chunks whose outcomes came later.

Keeps: an estimate or a severity is asked for without the chunk's outcomes; only the judge looks at them. Four are
nannyml's tables, with the scores of the models they ship; of the late flights the model is this bench's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bench.drift import data
from bench.drift.data import Column, Floats

Flags = NDArray[np.bool_]


class Served(msgspec.Struct, frozen=True):
    """Rows with the model's score, what it said (score against its threshold), and the truth."""

    features: Mapping[str, Column]
    scores: Floats
    said: Flags
    truth: Flags

    @property
    def accuracy(self) -> float:
        """Share of the rows where it was right."""
        return float(np.mean(self.said == self.truth))

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.scores)

    def part(self, rows: Column) -> Served:
        """Some rows."""
        return Served(data.rows_of(self.features, rows), self.scores[rows], self.said[rows], self.truth[rows])


class Episode(msgspec.Struct, frozen=True):
    """A reference, and what came after it. `refuse`: nobody should trust an estimate here."""

    name: str
    reference: Served
    live: Served
    chunk_rows: int
    refuse: bool = False

    def chunks(self) -> Iterator[Served]:
        """Whole chunks, in order."""
        for start in range(0, self.live.rows - self.chunk_rows + 1, self.chunk_rows):
            yield self.live.part(np.arange(start, start + self.chunk_rows))


def _of_nannyml(
    name: str, files: Sequence[str], columns: tuple[str, str, str], left_out: frozenset[str], chunk_rows: int
) -> Episode:
    """`files`: reference, analysis, and the analysis' outcomes or nothing; `columns`: score, label, truth."""
    reference, live = data.nannyml(files[0]), data.nannyml(files[1])
    score, label, truth = columns
    outcomes = data.nannyml(files[2]) if len(files) > 2 else live
    key = next((column for column in ("id", "identifier") if column in outcomes and column in live), None)
    if key is not None and outcomes is not live:
        found = dict(zip(outcomes[key].tolist(), outcomes[truth].tolist(), strict=True))
        told = np.array([found[one] for one in live[key].tolist()], dtype=np.float64)
    else:
        told = outcomes[truth].astype(np.float64)
    unknown = frozenset({score, label, truth, *left_out})

    def served(table: data.Table, happened: Floats) -> Served:
        features = {column: values for column, values in table.items() if column not in unknown}
        return Served(features, table[score], table[label] > 0.5, happened > 0.5)

    return Episode(name, served(reference, reference[truth]), served(live, told), chunk_rows)


@cache
def late_flights() -> Episode:
    """A model of January to March on the flights of the rest of the year, 5,000 at a time."""
    table = data.rdata("nycflights13", "flights")
    arrived = ~np.isnan(table["arr_delay"])
    order = np.argsort(data.moments(table["time_hour"][arrived]), kind="stable")
    rows = data.rows_of(data.rows_of(table, arrived), order)
    late, month = rows["arr_delay"] > 15.0, rows["month"]
    features: dict[str, Column] = {
        name: rows[name] for name in ("carrier", "origin", "dest", "sched_dep_time", "sched_arr_time", "distance")
    }
    inputs = inputs_of(features)
    first = month <= 3
    learnt, kept = first.copy(), first.copy()
    learnt[np.flatnonzero(first)[1::2]] = False
    kept[np.flatnonzero(first)[::2]] = False
    scores = 1.0 / (1.0 + np.exp(-inputs @ logistic(inputs[learnt], late[learnt])))
    # Few flights are ever more likely late than not: it says "late" to the fifth that it fears for most.
    said = scores >= np.quantile(scores[learnt], 0.8)
    whole = Served(features, scores, said, late)
    return Episode("late flights", whole.part(kept), whole.part(~first), 5_000)


def inputs_of(features: Mapping[str, Column]) -> Floats:
    """What a logistic model takes: numbers standardised, with their squares, and the 20 most frequent categories."""
    columns = [np.ones(len(next(iter(features.values()))))]
    for column in features.values():
        if column.dtype.kind == "f":
            columns.append((column - column.mean()) / column.std())
            columns.append(columns[-1] ** 2)
            continue
        values, counts = np.unique(column.astype(str), return_counts=True)
        columns += [(column == value).astype(np.float64) for value in values[np.argsort(-counts)][:20]]
    return np.stack(columns, axis=1)


def logistic(inputs: Floats, truth: Flags) -> Floats:
    """Weights of a logistic regression with a little ridge."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = inputs @ weights
        value = np.mean(np.logaddexp(0.0, margin) - truth * margin) + 1e-4 * weights @ weights
        slope = inputs.T @ (expit(margin) - truth) / len(truth) + 2e-4 * weights
        return float(value), slope

    found: Floats = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    return found


@cache
def employment() -> Episode:
    """Real: the US census in Massachusetts, a model of 2015 in 2016 to 2018."""
    files = ("employment_MA_reference.pq", "employment_MA_analysis.pq", "employment_MA_analysis_target.pq")
    return _of_nannyml(
        "employment", files, ("predicted_probability", "prediction", "employed"), frozenset({"id", "year"}), 5_000
    )


@cache
def car_loans() -> Episode:
    """Simulated by nannyml's authors."""
    files = tuple(f"synthetic_car_loan_{part}.csv" for part in ("reference", "analysis", "analysis_target"))
    return _of_nannyml("car loans (simulated)", files, ("y_pred_proba", "y_pred", "repaid"), _TIMES, 5_000)


@cache
def work_from_home() -> Episode:
    """Simulated by nannyml's authors."""
    files = tuple(f"synthetic_sample_{part}.csv" for part in ("reference", "analysis", "analysis_gt"))
    columns = ("y_pred_proba", "y_pred", "work_home_actual")
    return _of_nannyml("work from home (simulated)", files, columns, _TIMES, 5_000)


@cache
def california() -> Episode:
    """Real houses, with the north taken for the future of the south: no estimate can be right."""
    files = tuple(f"california_housing_{part}.csv" for part in ("reference", "analysis", "analysis_gt"))
    found = _of_nannyml("California housing", files, ("y_pred_proba", "y_pred", "clf_target"), _TIMES, 500)
    return msgspec.structs.replace(found, refuse=True)


_TIMES = frozenset({"id", "identifier", "timestamp", "period"})
EPISODES: tuple[Callable[[], Episode], ...] = (employment, car_loans, work_from_home, california, late_flights)
