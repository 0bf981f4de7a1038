"""Experiments H, I and J: values a second on one core beside peers, the cost of a look, memory over many values.

All in this process on one core, rounds in turn, medians; the share of the core that strangers took is printed with
them. Peers take the same rows in environments of their own, also on that core.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.drift import environments, peers
from bench.drift.memory import Held, held, kib_a_feature
from bench.drift.plan import Plan
from bench.drift.product import BEGIN_S, baseline_of, observer_of, sample_of
from bench.interleaving import interleaved
from bench.meter import Meter
from bench.programs import Missing
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, ratio, spread
from sidecar.observe.drift import DriftObserver
from sidecar.payload.columns import Columns
from sidecar.payload.message import Message
from sidecar.payload.reading import Reading, read_features
from sidecar.records import Sample
from sidecar.stats.fault_bets import MOST
from sidecar.stats.tolerant_tests import TolerantTests

Floats = NDArray[np.float64]
NUMERIC, CATEGORICAL, ROWS = 50, 10, 8_192
BATCHES = (1, 32, 512)
JSON_ROWS = (256, 1)
PEERS = ("whylogs", "river", "evidently", "nannyml", "scouter")
FEATURES, AGES = 200, 12


def rows_of_traffic(seed: int, rows: int) -> tuple[Floats, NDArray[np.int64]]:
    """Numbers of three shapes, and categories of 20 values each."""
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal((rows, NUMERIC))
    numbers[:, ::3] = np.exp(numbers[:, ::3]).round(2)
    numbers[:, 1::3] = rng.integers(0, 100, (rows, len(range(1, NUMERIC, 3))))
    return numbers, (20 * rng.random((rows, CATEGORICAL)) ** 2).astype(np.int64)


def table_of(numbers: Floats, categories: NDArray[np.int64]) -> dict[str, Any]:
    """Columns for a baseline: arrays of numbers, lists of texts."""
    texts = np.array([f"category {number}" for number in range(20)], dtype=object)
    columns: dict[str, Any] = {
        f"n{index}": np.ascontiguousarray(numbers[:, index]) for index in range(numbers.shape[1])
    }
    columns |= {f"c{index}": texts[categories[:, index]].tolist() for index in range(categories.shape[1])}
    return columns


def parsed(table: Mapping[str, Any]) -> Columns:
    """The same as the payload readers give it: numbers as one block, texts column by column."""
    numbers = {name: column for name, column in table.items() if isinstance(column, np.ndarray)}
    others = {name: column for name, column in table.items() if name not in numbers}
    block = np.stack(list(numbers.values()), axis=1)
    return Columns(len(block), tuple(numbers), block, others, tuple(table))


def measure(plan: Plan) -> Result:
    """All three."""
    core = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        meter = Meter(os.getpid(), core)
        own, elsewhere = _own_rates(plan, core)
        elsewhere.append(meter.read().elsewhere)
        others = _peer_rates(plan)
        look = _looks(plan)
        memory = held(plan)
    finally:
        os.sched_setaffinity(0, before)
    return _judged(own, others, look, memory, elsewhere)


def _own_rates(plan: Plan, core: int) -> tuple[dict[str, list[float]], list[float]]:
    numbers, categories = rows_of_traffic(1, ROWS)
    baseline = baseline_of(table_of(numbers, categories))
    contenders: dict[str, Callable[[], float]] = {}
    for rows in BATCHES:
        batches = [
            parsed(table_of(numbers[start : start + rows], categories[start : start + rows]))
            for start in range(0, min(ROWS, 400 * rows) - rows + 1, rows)
        ]
        contenders[f"rows parsed, {rows} a request"] = _fold(plan, observer_of(baseline), batches)
    numeric = baseline_of(table_of(numbers, categories[:, :0]))
    wide = [parsed(table_of(numbers[start : start + 512], categories[:512, :0])) for start in range(0, ROWS - 511, 512)]
    contenders["rows parsed, 512 a request, numbers only"] = _fold(plan, observer_of(numeric), wide)
    for rows in JSON_ROWS:
        contenders[_bodies_of(rows)] = _fold_json(plan, numbers[: min(ROWS, 400 * rows), :30], rows)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    elsewhere = []
    for name in interleaved(tuple(contenders), plan.rounds):
        meter = Meter(os.getpid(), core)
        found[name].append(contenders[name]())
        elsewhere.append(meter.read().elsewhere)
    for name, rates in found.items():
        plan.tell(f"  {name}: {spread(rates).shown(0)} values/s")
    return found, elsewhere


def _fold(plan: Plan, observer: DriftObserver, batches: list[Columns]) -> Callable[[], float]:
    """Values a second of CPU, for about a second; a bucket is closed every 50,000 rows."""

    def run() -> float:
        columns, rows = len(batches[0]), batches[0].rows
        samples = [Sample("r", BEGIN_S, batch.rows, batch, None) for batch in batches]
        for sample in samples[:2]:
            observer.fold(sample)
        observer.report()
        began, done = time.process_time(), 0
        limit_s = plan.pick(0.3, 1.0)
        while (lasted := time.process_time() - began) < limit_s:
            for sample in samples:
                observer.fold(sample)
            done += len(samples)
        observer.report()  # whatever is still held back is counted before the clock stops
        lasted = time.process_time() - began
        return done * rows * columns / lasted

    return run


def _bodies_of(rows: int) -> str:
    return f"JSON bodies of {rows} rows × 30" if rows > 1 else "JSON bodies of one row × 30"


def _fold_json(plan: Plan, numbers: Floats, body_rows: int) -> Callable[[], float]:
    names = tuple(f"n{index}" for index in range(numbers.shape[1]))
    baseline = baseline_of({name: numbers[:, index] for index, name in enumerate(names)})
    observer = observer_of(baseline)
    bodies = [
        orjson.dumps(
            {
                "inputs": [
                    {
                        "name": "rows",
                        "shape": [body_rows, len(names)],
                        "datatype": "FP64",
                        "data": part.ravel().tolist(),
                    }
                ]
            }
        )
        for part in np.array_split(numbers, len(numbers) // body_rows)
    ]
    read = reader(names)

    def run() -> float:
        began, done = time.process_time(), 0
        while time.process_time() - began < plan.pick(0.3, 1.0):
            for body in bodies:
                rows, columns = read(body)
                observer.fold(sample_of(columns, BEGIN_S))
                done += rows
        observer.report()
        return done * len(names) / (time.process_time() - began)

    return run


def reader(names: tuple[str, ...]) -> Callable[[bytes], tuple[int, Mapping[str, Any]]]:
    """How the control reads a body of the Open Inference Protocol."""
    reading = Reading(names=names)

    def read(body: bytes) -> tuple[int, Mapping[str, Any]]:
        return read_features(reading, Message(body, "/v2/models/m/infer", "application/json"))

    return read


def _peer_rates(plan: Plan) -> dict[str, list[float] | str]:
    numbers, categories = rows_of_traffic(2, ROWS)
    arrays: dict[str, NDArray[Any]] = {"numeric": numbers, "categorical": categories}
    found: dict[str, list[float] | str] = {}
    for peer in PEERS:
        try:
            for _ in range(plan.pick(1, plan.rounds)):
                told = peers.ask(peer, "throughput", {"batch_rows": 512, "seconds": plan.pick(0.5, 2.0)}, arrays)
                for name, rate in told.items():
                    rates = found.setdefault(name, [])
                    if isinstance(rates, list):
                        rates.append(rate)
        except Missing as error:
            found[peer] = str(error)
        plan.tell(f"  {peer}: {found.get(peer, 'measured')}")
    return found


def _looks(plan: Plan) -> list[float]:
    """Milliseconds for the e-process of 200 features at 12 ages each."""
    rng = np.random.default_rng(5)
    cells = [int(rng.integers(8, 40)) for _ in range(FEATURES)]
    shares = [rng.dirichlet(np.full(size, 5.0)) for size in cells]
    baselines = [rng.multinomial(50_000, share) for share in shares]
    live = [rng.multinomial(2_000, share, size=AGES) for share in shares]
    run = looker(baselines, live, 0.008)
    run()
    took = []
    for _ in range(plan.pick(5, 25)):
        began = time.process_time()
        run()
        took.append(1e3 * (time.process_time() - began))
    plan.tell(f"  {FEATURES} features × {AGES} ages: {spread(took).shown(1)} ms")
    return took


def looker(baselines: list[NDArray[np.int64]], live: list[NDArray[np.int64]], tolerance: float) -> Callable[[], object]:
    """All columns' e-values, as the product's close works them out for numbers, with every bet that it makes."""
    moves = [[np.roll(counts * 512 // counts.sum(), step) for step in range(1, MOST + 1)] for counts in baselines]
    tests = TolerantTests(baselines, [counts.size for counts in baselines], apart=True, moves=moves)
    padded = np.zeros((len(live), AGES, tests.width))
    for index, counts in enumerate(live):
        padded[index, :, : counts.shape[1]] = counts
    return lambda: tests.log_e(padded, tolerance)


def _judged(
    own: Mapping[str, list[float]],
    others: Mapping[str, list[float] | str],
    look: list[float],
    memory: list[Held],
    elsewhere: list[float],
) -> Result:
    scalar, batched = (own[f"rows parsed, {rows} a request"] for rows in (BATCHES[0], BATCHES[-1]))
    bodies, lone_bodies = (own[_bodies_of(rows)] for rows in JSON_ROWS)
    numbers = own["rows parsed, 512 a request, numbers only"]
    told = {name: rates for name, rates in others.items() if isinstance(rates, list)}
    findings = [
        _rate("values/s, 512 rows a request, numbers and texts", batched, 10.0),
        _rate("values/s, 512 rows a request, numbers", numbers, 10.0),
        _rate("values/s, one row a request", scalar, 2.0),
        _rate(f"values/s, JSON body of {JSON_ROWS[0]} rows to counts", bodies, 3.0),
        _rate("values/s, JSON body of one row to counts", lone_bodies, 3.0),
    ]
    findings += [
        Finding(
            measure="values/s, 512 rows a request",
            against=name,
            reached=ratio(batched, [spread(rates).median] * len(batched)),
            limit=5.0,
            at_least=True,
        )
        for name, rates in told.items()
    ]
    resident = [one.own for one in memory]
    findings += [
        Finding(measure=f"{FEATURES} features × {AGES} ages", reached=spread(look), limit=50.0, unit=" ms", digits=1),
        Finding(
            measure="memory a feature, its baseline included",
            reached=spread([kib_a_feature(memory[-1].live)]),
            limit=20.0,
            unit=" KiB",
            digits=1,
        ),
        Finding(
            measure=f"resident memory's growth from {memory[0].values:,} to {memory[-1].values:,} values",
            reached=spread([resident[-1] / max(resident[0], 1)]),
            limit=1.1,
        ),
    ]
    rows = [(f"the sidecar, {name}", spread(rates).shown(0)) for name, rates in own.items()]
    rows += [(name, spread(rates).shown(0) if isinstance(rates, list) else rates) for name, rates in others.items()]
    bars = [Bar("the sidecar, 512 rows a request", _millions(batched), ours=True)]
    bars += [Bar(name, _millions(rates), ours=False) for name, rates in told.items()]
    kept = Table(
        (
            "values",
            "in use, KiB a feature",
            "resident, KiB a feature",
            "snapshot, KiB a feature",
            "programs' pages, KiB",
        ),
        [one.shown() for one in memory],
    )
    return Result(
        title="H, I, J. Speed and memory",
        findings=findings,
        tables=[Table(("contender", "values/s of one core"), rows), kept],
        panels=[Panel("million values/s of one core, batches of 512 rows", bars, digits=2)],
        note=(
            f"{NUMERIC} numeric and {CATEGORICAL} categorical columns, the same rows for all (scouter and the "
            "sketches: the numeric ones only). The sidecar's rows are as its payload readers give them: a block of "
            "numbers, texts column by column; of every number it counts a cell of the baseline (its own for repeated "
            "values, those below, above, missing, of a wrong type), a cell of the log histogram, and names repeated "
            "ones. whylogs profiles, Evidently and NannyML make their report of the batch, ADWIN is updated value by "
            "value. KLL and scouter do less with a number, and in compiled code: a KLL sketch takes a whole column in "
            "one call and keeps one summary, scouter counts deciles of a data frame and keeps nothing. Five times as "
            "fast as those leaves 8 ns a number for all that, of which sorting takes five. "
            f"JSON: one wide tensor. Largest resident size of the bench itself: "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB. Peers: {environments.versions()}."
        ),
        elsewhere=elsewhere,
    )


def _rate(measure: str, rates: list[float], millions: float) -> Finding:
    return Finding(measure=measure, reached=_millions(rates), limit=millions, at_least=True, unit=" M", digits=2)


def _millions(rates: list[float]) -> Spread:
    return spread([rate / 1e6 for rate in rates])
