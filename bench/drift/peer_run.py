"""Runs in a peer's environment, by the peer's own functions: `python peer_run.py TASK FOLDER`.

Reads given.npz and options.json in the folder, writes answer.json there. Imports numpy, pandas and the peer only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Any


def main() -> None:
    task, folder = sys.argv[1], Path(sys.argv[2])
    options = json.loads((folder / "options.json").read_text())
    with np.load(folder / "given.npz") as given:
        answer = TASKS[task](options, given)
    (folder / "answer.json").write_text(json.dumps(answer))


# --- windows of one column against a reference -----------------------------------------------------------------


def windows(options: dict[str, Any], given: Arrays) -> list[dict[str, Any] | None]:
    """Statistic (larger: more drift) and default alarm of each window of each job; None where the peer refuses."""
    run = METHODS[options["method"]]
    answers: list[dict[str, Any] | None] = []
    for number, kind in enumerate(options["kinds"]):
        found = run(given[f"{number}/reference"], given[f"{number}/windows"], kind)
        if found is None:
            answers.append(None)
            continue
        statistic, alarm = found
        answers.append({"statistic": [float(one) for one in statistic], "alarm": [bool(one) for one in alarm]})
    return answers


def _series(values: Any, kind: str) -> Any:
    pandas = import_module("pandas")
    if kind == "numeric":
        return pandas.Series(values)
    texts = np.array(
        [*(f"c{int(number)}" for number in range(int(np.nanmax(values, initial=0)) + 1)), None], dtype=object
    )
    return pandas.Series(texts[np.where(np.isnan(values), -1, values).astype(int)], dtype=object)


def evidently(reference: Any, live: Any, kind: str, *, tests: bool = False) -> Any:
    """Its default choice of test by the reference's size; with `tests`, KS and chi-square whatever the size."""
    stattests = import_module("evidently.legacy.calculations.stattests")
    column_type = import_module("evidently.legacy.core").ColumnType
    feature = column_type.Numerical if kind == "numeric" else column_type.Categorical
    before = _series(reference, kind).dropna()
    asked = ("ks" if kind == "numeric" else "chisquare") if tests else None
    statistic, alarm = [], []
    for window in live:
        after = _series(window, kind).dropna()
        test = stattests.get_stattest(before, after, feature, asked)
        result = test(before, after, feature, None)
        p_value = "p_value" in test.display_name
        statistic.append(-result.drift_score if p_value else result.drift_score)
        alarm.append(result.drifted)
    return statistic, alarm


def nannyml(reference: Any, live: Any, kind: str) -> Any:
    """Its univariate calculator, Jensen-Shannon, a chunk for each window; needs three reference chunks or more."""
    pandas, nml = import_module("pandas"), import_module("nannyml")
    size = live.shape[1]
    if len(reference) < 3 * size:
        return None
    columns = {"treat_as_categorical": ["x"]} if kind != "numeric" else {}
    calculator = nml.UnivariateDriftCalculator(column_names=["x"], chunk_size=size, **columns)
    calculator.fit(pandas.DataFrame({"x": _series(reference, kind)}))
    result = calculator.calculate(pandas.DataFrame({"x": _series(live.ravel(), kind)}))
    frame = result.filter(period="analysis").to_df()
    found = frame["x"]["jensen_shannon"]
    return found["value"].tolist(), found["alert"].tolist()


def whylogs(reference: Any, live: Any, kind: str) -> Any:
    """Profiles of both, its default algorithm for the column: KS on sketches, or chi-square."""
    drift = import_module("whylogs.viz.drift.column_drift_algorithms")
    before = _profile(reference, kind)
    statistic, alarm = [], []
    for window in live:
        scores = drift.calculate_drift_scores(_profile(window, kind), before, with_thresholds=True)["x"]
        if scores is None:
            return None
        statistic.append(-scores["pvalue"])
        alarm.append(scores["drift_category"] == "DRIFT")
    return statistic, alarm


def _profile(values: Any, kind: str) -> Any:
    pandas, why = import_module("pandas"), import_module("whylogs")
    return why.log(pandas.DataFrame({"x": _series(values, kind)})).view()


def scouter(reference: Any, live: Any, kind: str) -> Any:
    """PSI on deciles of its drift profile, against its default threshold."""
    pandas, module = import_module("pandas"), import_module("scouter")
    before = pandas.DataFrame({"x": _series(reference, kind)}).dropna()
    names = {"categorical_features": ["x"]} if kind != "numeric" else {}
    config = module.PsiDriftConfig(**names)
    drifter = module.Drifter()
    profile = drifter.create_drift_profile(before, config)
    statistic = []
    for window in live:
        found = drifter.compute_drift(pandas.DataFrame({"x": _series(window, kind)}).dropna(), profile)
        statistic.append(float(found.features["x"]))
    # Its server's default alert: chi-square's 95 % quantile over the window's rows. Wilson and Hilferty 1931.
    free = 9 if kind == "numeric" else max(1, before["x"].nunique() - 1)
    limit = free * (1 - 2 / (9 * free) + 1.645 * (2 / (9 * free)) ** 0.5) ** 3 / live.shape[1]
    return statistic, [one >= limit for one in statistic]


# --- streams of one column, a value at a time ------------------------------------------------------------------


def streams(options: dict[str, Any], given: Arrays) -> list[dict[str, Any]]:
    """For each setting of a detector: false alarms on the null streams, and delays after the change."""
    change_at = options["change_at"]
    answers = []
    for setting, make in _detectors(options["method"]):
        false_alarms = sum(len(_alarms(make, stream, most=1_000)) for stream in given["null"])
        delays: list[list[float | None]] = []
        for number in range(options["effects"]):
            delays.append([])
            for stream in given[f"after/{number}"]:
                late = [place for place in _alarms(make, stream, most=10_000, until=change_at) if place >= change_at]
                delays[-1].append(late[0] - change_at + 1 if late else None)
        answers.append({"setting": setting, "false_alarms": false_alarms, "delays": delays})
    return answers


def _alarms(make: Callable[[], Any], stream: Any, *, most: int, until: int | None = None) -> list[int]:
    """Places of alarms; with `until`, no further than the first one at or after that place."""
    detector, found = make(), []
    for place, value in enumerate(stream.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(place)
            if len(found) >= most or (until is not None and place >= until):
                break
    return found


def _detectors(method: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    drift = import_module("river.drift")
    if method == "river-adwin":
        for delta in (0.002, 1e-4, 1e-5, 1e-6, 1e-8):
            yield f"delta={delta:g}", partial(drift.ADWIN, delta=delta)
    elif method == "river-pagehinkley":
        for limit in (50.0, 100.0, 200.0, 400.0, 800.0):
            yield f"threshold={limit:g}", partial(drift.PageHinkley, threshold=limit)
    else:
        for alpha in (0.005, 1e-4, 1e-6, 1e-8):
            yield f"alpha={alpha:g}", partial(drift.KSWIN, alpha=alpha, seed=1)


# --- performance without labels --------------------------------------------------------------------------------


def cbpe(options: dict[str, Any], given: Arrays) -> dict[str, list[Any]]:
    """NannyML's CBPE: estimated accuracy and ROC AUC of each chunk, and whether it alarms."""
    pandas, nml = import_module("pandas"), import_module("nannyml")

    def frame(period: str) -> Any:
        columns = {
            name: given[f"{period}/{name}"] for name in ("score", "label", "truth") if f"{period}/{name}" in given
        }
        return pandas.DataFrame(columns)

    estimator = nml.CBPE(
        problem_type="classification_binary",
        y_pred_proba="score",
        y_pred="label",
        y_true="truth",
        metrics=["accuracy", "roc_auc"],
        chunk_size=options["chunk_rows"],
    )
    estimator.fit(frame("reference"))
    found = estimator.estimate(frame("live")).filter(period="analysis").to_df()
    return {
        "accuracy": found["accuracy"]["value"].tolist(),
        "roc_auc": found["roc_auc"]["value"].tolist(),
        "alarm": found["accuracy"]["alert"].tolist(),
    }


# --- throughput ------------------------------------------------------------------------------------------------


def throughput(options: dict[str, Any], given: Arrays) -> dict[str, float]:
    """Values a second of one core, taking in batches of so many rows until the time is over; by contender."""
    pandas = import_module("pandas")
    rows, seconds = options["batch_rows"], options["seconds"]
    numeric, coded = given["numeric"], given["categorical"]
    frame = pandas.DataFrame({f"n{number}": numeric[:, number] for number in range(numeric.shape[1])})
    for number in range(coded.shape[1]):
        frame[f"c{number}"] = _series(coded[:, number].astype(float), "categorical")
    batches = [frame.iloc[start : start + rows] for start in range(0, len(frame) - rows + 1, rows)]
    takes = INTAKES[options["method"]](frame, batches)
    answers = {}
    for name, (take, values) in takes.items():
        take(0)
        began, done, number = time.process_time(), 0, 0
        while (lasted := time.process_time() - began) < seconds:
            take(number % len(batches))
            done, number = done + values, number + 1
        answers[name] = done / lasted
    return answers


def _evidently_intake(frame: Any, batches: Any) -> Any:
    module, presets = import_module("evidently"), import_module("evidently.presets")
    definition = module.DataDefinition(
        numerical_columns=[name for name in frame if name.startswith("n")],
        categorical_columns=[name for name in frame if name.startswith("c")],
    )
    before = module.Dataset.from_pandas(frame.iloc[:5_000], data_definition=definition)

    def take(number: int) -> None:
        live = module.Dataset.from_pandas(batches[number], data_definition=definition)
        module.Report([presets.DataDriftPreset()]).run(live, before)

    return {"evidently": (take, batches[0].size)}


def _nannyml_intake(frame: Any, batches: Any) -> Any:
    nml = import_module("nannyml")
    rows = len(batches[0])
    calculator = nml.UnivariateDriftCalculator(column_names=list(frame.columns), chunk_size=rows)
    calculator.fit(frame.iloc[: max(10 * rows, 5_000)])
    return {"nannyml": (lambda number: calculator.calculate(batches[number]), batches[0].size)}


def _whylogs_intake(_: Any, batches: Any) -> Any:
    view = import_module("whylogs.core.dataset_profile").DatasetProfile()
    return {"whylogs": (lambda number: view.track(batches[number]), batches[0].size)}


def _river_intake(frame: Any, batches: Any) -> Any:
    """ADWIN for each numeric column; and the sketches, that tell nothing but count."""
    drift, sketches, ddsketch = (import_module(name) for name in ("river.drift", "datasketches", "ddsketch"))
    names = [name for name in frame if name.startswith("n")]
    arrays = [batch[names].to_numpy() for batch in batches]
    adwins = [drift.ADWIN() for _ in names]
    klls = [sketches.kll_doubles_sketch(200) for _ in names]
    dds = [ddsketch.DDSketch() for _ in names]

    def adwin(number: int) -> None:
        for detector, column in zip(adwins, arrays[number].T.tolist(), strict=True):
            for value in column:
                detector.update(value)

    def kll(number: int) -> None:
        for sketch, column in zip(klls, arrays[number].T, strict=True):
            sketch.update(np.ascontiguousarray(column))

    def dd(number: int) -> None:
        for sketch, column in zip(dds, arrays[number].T.tolist(), strict=True):
            for value in column:
                sketch.add(value)

    values = arrays[0].size
    return {"river ADWIN": (adwin, values), "KLL sketch": (kll, values), "DDSketch": (dd, values)}


def _scouter_intake(frame: Any, batches: Any) -> Any:
    module = import_module("scouter")
    names = [name for name in frame if name.startswith("n")]
    drifter = module.Drifter()
    profile = drifter.create_drift_profile(frame[names].iloc[:5_000], module.PsiDriftConfig())
    live = [batch[names] for batch in batches]
    return {"scouter": (lambda number: drifter.compute_drift(live[number], profile), live[0].size)}


METHODS: dict[str, Callable[[Any, Any, str], Any]] = {
    "evidently": evidently,
    "evidently-test": lambda reference, live, kind: evidently(reference, live, kind, tests=True),
    "nannyml": nannyml,
    "whylogs": whylogs,
    "scouter": scouter,
}
INTAKES: dict[str, Callable[[Any, Any], Any]] = {
    "evidently": _evidently_intake,
    "nannyml": _nannyml_intake,
    "whylogs": _whylogs_intake,
    "river": _river_intake,
    "scouter": _scouter_intake,
}
TASKS: dict[str, Callable[[dict[str, Any], Arrays], Any]] = {
    "windows": windows,
    "streams": streams,
    "cbpe": cbpe,
    "throughput": throughput,
}

if __name__ == "__main__":
    main()
