"""The whole path of watching: 5,000 requests a second of 30 features, every row counted, by a whole `sidecar run`.

Two questions: does control keep up, or does it drop and say how much; and what does being watched cost the worker,
beside the same requests that it only forwards? Paced, and in interleaved rounds, the two paths of one worker in turn.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from time import sleep

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench import child, load, process, whole_sidecar
from bench.interleaving import interleaved
from bench.meter import Meter
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import ratio, spread
from bench.stand import Stand
from bench.tables import path_of
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import FORWARDED, Sidecar
from registry_client import build_baseline, to_json

NAME, FEATURES = "watched", 30
RATE_PER_S = 5_000.0
# wrk rests after each answer, so what it reaches is this less the time that answers take.
_PACE_PER_S = 1.1 * RATE_PER_S
WATCHED, UNWATCHED = "watched at 100 %", "forwarded only"
LIMIT = 1.15
_BASELINE_ROWS, _DISTINCT, _WARM_UP_S = 20_000, 256, 1
# Requests that wrk has sent and did not wait for when it ended.
_SLACK = load.CONNECTIONS


class Run(msgspec.Struct, frozen=True):
    """One path in one round.

    Attributes:
        cpu_us: of the worker, per request; `control_us` of control and its supervisor, likewise, until all was folded.
        rows: counted by control, of `requests` (both with the warm-up's); `dropped` exchanges, by reason.
        elsewhere: share of the worker's core that other processes took.
    """

    path: str
    cpu_us: float
    control_us: float
    requests_per_s: float
    requests: int
    rows: int
    dropped: dict[str, int]
    errors: int
    elsewhere: float

    @property
    def accounted(self) -> float:
        """Which share of the requests was counted, or dropped and told."""
        return (self.rows + sum(self.dropped.values())) / max(1, self.requests)


def measure(stand: Stand) -> Result:
    """The row."""
    rows = rows_of_features(np.random.default_rng(30), _BASELINE_ROWS)
    folder = stand.new("watched")
    folder.mkdir()
    document = folder / "baseline.json"
    names = [f"feature_{number:02d}" for number in range(FEATURES)]
    columns = {name: np.ascontiguousarray(rows[:, place]) for place, name in enumerate(names)}
    document.write_bytes(to_json(build_baseline(columns, now=datetime(2026, 1, 1, tzinfo=UTC))))
    script = load.write_script(folder / "wrk.lua", bodies(rows[:_DISTINCT]), _PACE_PER_S)
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        data, admin = child.free_ports(2)
        further = {"name": NAME, "baseline": str(document), "sampling": {"rows_per_s": 1_000_000}}
        sidecar = stack.enter_context(
            whole_sidecar.running(
                stand.new("sidecar"),
                {"data": data, "admin": admin},
                champion=champion,
                challenger=challenger,
                core=stand.core,
                load_core=stand.load_core,
                build=stand.build,
                further=(further,),
            )
        )
        runs = []
        for path in interleaved((WATCHED, UNWATCHED), stand.rounds):
            runs.append(_run(stand, sidecar, path, script))
            stand.tell(_told(runs[-1]))
    return judged(runs, mean(len(body) for body in bodies(rows[:_DISTINCT])))


def rows_of_features(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Rows of numbers as models take them: standardised ones, amounts, counts."""
    made = rng.standard_normal((rows, FEATURES))
    made[:, ::3] = np.exp(made[:, ::3] + 3.0)
    made[:, 1::6] = rng.poisson(6.0, (rows, len(range(1, FEATURES, 6))))
    return made


def bodies(rows: NDArray[np.float64]) -> list[bytes]:
    """A V2 request for each row: one tensor of 30 numbers, as clients of double precision print them."""
    made = []
    for number, row in enumerate(rows):
        tensor = {"name": "features", "shape": [1, FEATURES], "datatype": "FP64", "data": row.tolist()}
        made.append(json.dumps({"id": f"bench-{number:04d}", "inputs": [tensor]}).encode())
    return made


def _run(stand: Stand, sidecar: Sidecar, path: str, script: Path) -> Run:
    url = sidecar.url + (path_of(NAME) if path == WATCHED else FORWARDED)
    before, rows = sidecar.dropped(), sidecar.rows_sampled(NAME)
    control_s = process.cpu_s(sidecar.pids["control"])
    warm_up = load.run(url, script, _WARM_UP_S)
    meter = Meter(sidecar.pids["worker"], stand.core)
    result = load.run(url, script, stand.seconds)
    used = meter.read()
    sidecar.rest()
    control_s = process.cpu_s(sidecar.pids["control"]) - control_s
    sidecar.check()
    sleep(whole_sidecar.COUNTS_S)
    dropped = {reason: count - before.get(reason, 0) for reason, count in sidecar.dropped().items()}
    requests = result.requests + warm_up.requests
    return Run(
        path=path,
        cpu_us=1e6 * used.cpu_s / max(1, result.requests),
        control_us=1e6 * control_s / max(1, requests),
        requests_per_s=result.requests / result.seconds,
        requests=requests,
        rows=sidecar.rows_sampled(NAME) - rows,
        dropped={reason: count for reason, count in dropped.items() if count},
        errors=result.errors,
        elsewhere=used.elsewhere,
    )


def _told(run: Run) -> str:
    counted = f"{run.rows:,} of {run.requests:,} rows counted, dropped {run.dropped}" if run.path == WATCHED else ""
    return (
        f"{run.path:<18} worker {run.cpu_us:6.1f} µs  control {run.control_us:6.1f} µs  {run.requests_per_s:7.0f}/s  "
        f"others {run.elsewhere:4.0%}  {counted}"
    )


def judged(runs: Sequence[Run], body_bytes: float) -> Result:
    """Runs in whole rounds, against the targets. Pure."""
    by_path: dict[str, list[Run]] = {path: [run for run in runs if run.path == path] for path in (WATCHED, UNWATCHED)}
    watched = by_path[WATCHED]
    cpu: Mapping[str, list[float]] = {path: [run.cpu_us for run in own] for path, own in by_path.items()}
    requests = sum(run.requests for run in watched)
    told = sum(run.rows + sum(run.dropped.values()) for run in watched)
    return Result(
        title="The whole path of watching",
        findings=[
            Finding(
                measure=f"requests/s of {FEATURES} features, {WATCHED}",
                reached=spread([run.requests_per_s for run in watched]),
                limit=RATE_PER_S,
                at_least=True,
                unit="",
                digits=0,
            ),
            Finding(
                measure="share of watched requests counted, or dropped and told",
                reached=spread([min(1.0, run.accounted) for run in watched]),
                limit=(requests - _SLACK * 2 * len(watched)) / requests,
                at_least=True,
                unit="",
                digits=4,
            ),
            Finding(
                measure=f"worker's CPU per request, {WATCHED}",
                against=UNWATCHED,
                reached=ratio(cpu[WATCHED], cpu[UNWATCHED]),
                limit=LIMIT,
            ),
        ],
        tables=[_table(by_path)],
        panels=[
            Panel(
                "CPU per watched request, µs (less is better)",
                [
                    *(Bar(f"worker, {path}", spread(values), ours=True) for path, values in cpu.items()),
                    Bar("control", spread([run.control_us for run in watched]), ours=True),
                ],
            )
        ],
        note=(
            f"wrk, one thread, {load.CONNECTIONS} kept connections, paced to {_PACE_PER_S:,.0f} requests/s: V2 "
            f"requests of {body_bytes:.0f} bytes, one row of {FEATURES} numbers each. A whole `sidecar run`; control "
            "shares its core with load and model server. Every request's row is counted, and kept as a decision until "
            f"its outcome comes: control's CPU is for both. {told:,} of {requests:,} requests were counted, or dropped "
            "and told; wrk leaves up to one request a connection unanswered when it ends. `forwarded only`: the same "
            "worker's path to no deployment, where nothing is captured."
        ),
        elsewhere=[run.elsewhere for run in runs],
    )


def _table(by_path: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for path, own in by_path.items():
        requests = max(1, sum(run.requests for run in own))
        dropped = sum(sum(run.dropped.values()) for run in own)
        watched = path == WATCHED
        rows.append(
            (
                path,
                spread([run.cpu_us for run in own]).shown(1),
                spread([run.control_us for run in own]).shown(1),
                spread([run.requests_per_s for run in own]).shown(0),
                f"{sum(run.rows for run in own) / requests:.1%}" if watched else "–",
                f"{dropped / requests:.1%}" if watched else "–",
                str(sum(run.errors for run in own)),
            )
        )
    columns = ("path", "worker, µs a request", "control, µs a request", "requests/s", "counted", "dropped", "failed")
    return Table(columns, rows)
