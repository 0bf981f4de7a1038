"""Outcomes posted in bulk while many decisions are stored, and how control starts again with all that it has counted.

Decisions have random ids, so that each outcome falls onto a page of its own, and lie in the file as an index of random
keys does, not as a sorted one. The whole call is measured: JSON, join, commit with full sync, and counting of quality.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic, perf_counter, time

import msgspec

from bench import process
from bench.decide.control_alone import CHALLENGER, CHAMPION, NAME, ControlAlone, running
from bench.drift.plan import Plan
from bench.result import Finding, Result, Table
from bench.spread import spread
from sidecar.control.decisions import FILE_NAME, Decisions
from sidecar.observe.judged import RowPrediction

STORED, QUICK = 10_000_000, 200_000
AT_ONCE, CALLS = 50_000, 6
RATE, MEMORY_MIB, ANSWER_MS = 20_000, 1_024, 50
_BATCH = 200_000
_GATES = f"/v1/deployments/{NAME}/gates"


def measure(plan: Plan) -> Result:
    """The experiment."""
    stored = plan.pick(QUICK, STORED)
    at_once = min(AT_ONCE, stored // (2 * CALLS))
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        began = monotonic()
        sample = asyncio.run(_fill(folder / "state", stored, at_once * CALLS))
        size_mib = (folder / "state" / FILE_NAME).stat().st_size >> 20
        plan.tell(f"{stored:,} decisions, {size_mib:,} MiB, in {monotonic() - began:.0f} s")
        with running(folder) as control:
            before_mib = process.resident_bytes(control.pid) >> 20
            used_s = process.cpu_s(control.pid)
            rates, waits_ms = _posted(control, sample, at_once, plan)
            cpu_us = (process.cpu_s(control.pid) - used_s) / len(sample) * 1e6
            grown_mib = (process.resident_bytes(control.pid) >> 20) - before_mib
            answers_ms = _answers_ms(control)
        began = monotonic()
        with running(folder) as control:
            restart_s = monotonic() - began
            again_ms = _answers_ms(control)
            counted = control.ask("GET", f"/v1/deployments/{NAME}/performance")["items"][0]["matched"]
        shutil.rmtree(folder / "state")
    if counted != len(sample):
        raise ValueError(f"after the restart {counted:,} outcomes are counted, not {len(sample):,}")
    findings = [
        Finding(
            measure=f"outcomes a second, joined with {stored:,} stored decisions",
            reached=spread(rates),
            limit=RATE,
            at_least=True,
            unit="",
            digits=0,
        ),
        Finding(measure="memory that this takes", reached=spread([grown_mib]), limit=MEMORY_MIB, unit=" MiB", digits=0),
        Finding(
            measure="`gates` answered, longest of 20, after a restart too",
            reached=spread([max(answers_ms), max(again_ms)]),
            limit=ANSWER_MS,
            unit=" ms",
            digits=1,
        ),
    ]
    row = (
        f"{stored:,}",
        f"{size_mib:,}",
        spread(rates).shown(0),
        f"{cpu_us:.0f}",
        f"{max(waits_ms):.0f}",
        f"{restart_s:.1f}",
    )
    columns = ("decisions", "MiB", "outcomes/s", "CPU each, µs", "longest wait of another call, ms", "start again, s")
    return Result(
        title="S. Outcomes in bulk",
        findings=findings,
        tables=[Table(columns, [row])],
        note=f"Calls of {at_once:,} outcomes, one after another, two versions judged by each.",
    )


async def _fill(state_dir: Path, stored: int, wanted: int) -> list[str]:
    """A decisions file with that many rows; the ids of some of them."""
    await (await Decisions.open(state_dir)).close()
    rng = random.Random(1)
    said = [
        msgspec.msgpack.encode(
            {CHAMPION: RowPrediction(str(one), score), CHALLENGER: RowPrediction(str(two), score * 0.9)}
        )
        for one in (0, 1)
        for two in (0, 1)
        for score in (0.1, 0.35, 0.62, 0.97)
    ]
    now = time() - 86_400.0
    keep = wanted / stored
    sample: list[str] = []
    with closing(sqlite3.connect(state_dir / FILE_NAME, isolation_level=None)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        for begin in range(0, stored, _BATCH):
            ids = sorted(
                str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(min(_BATCH, stored - begin))
            )
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO decision (request_id, row, deployment, at, generation, champion, predictions)"
                " VALUES (?, 0, ?, ?, 1, ?, ?)",
                _rows(ids, begin, now, said),
            )
            connection.execute("COMMIT")
            sample += rng.sample(ids, round(keep * len(ids)))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rng.shuffle(sample)
    return sample[:wanted]


def _rows(
    ids: Sequence[str], begin: int, now: float, said: Sequence[bytes]
) -> Iterator[tuple[str, str, float, str, bytes]]:
    for number, request_id in enumerate(ids):
        yield request_id, NAME, now + (begin + number) * 1e-3, CHAMPION, said[number % len(said)]


def _posted(control: ControlAlone, sample: Sequence[str], at_once: int, plan: Plan) -> tuple[list[float], list[float]]:
    """Outcomes a second of each call, and what another caller waited meanwhile in ms."""
    over, waits_ms, rates = threading.Event(), [0.0], []

    def look() -> None:
        while not over.wait(0.05):
            began = perf_counter()
            control.ask("GET", "/healthz")
            waits_ms.append((perf_counter() - began) * 1e3)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for begin in range(0, len(sample), at_once):
            ids = sample[begin : begin + at_once]
            body = {"outcomes": [{"request_id": one, "outcome": number % 2} for number, one in enumerate(ids)]}
            began = perf_counter()
            counts = control.ask("POST", "/v1/outcomes", body)
            rates.append(len(ids) / (perf_counter() - began))
            if counts["matched"] != len(ids):
                raise ValueError(f"not all outcomes were joined: {counts}")
            plan.tell(f"{rates[-1]:,.0f} outcomes/s, another call waited at most {max(waits_ms):.0f} ms")
    finally:
        over.set()
        looking.join()
    return rates, waits_ms


def _answers_ms(control: ControlAlone) -> list[float]:
    found = []
    for _ in range(20):
        began = perf_counter()
        control.ask("GET", _GATES)
        found.append((perf_counter() - began) * 1e3)
    return found
