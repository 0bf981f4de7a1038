"""A baseline of a training set, beside whylogs' profiling and pandas' describe of the same file.

All three on a million rows, in turns, each in a process of its own with every core; then the sidecar's and pandas'
once on twenty million, which is where memory counts. The files are made once and stay under build/.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench import profile_run, profilers, training_set
from bench.build import ROOT
from bench.profile_run import OURS, PANDAS, WHYLOGS
from bench.programs import Missing
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import ratio, spread
from bench.stand import Stand

FOLDER = ROOT / "build" / "bench"
FEW_ROWS, ROWS, MANY_ROWS = 1_000, 1_000_000, 20_000_000
ROUNDS = 3
LIMIT_RATIO, LIMIT_MIB = 5.0, 2048
MIB = 1 << 20
COLUMNS = 30
_PATIENCE_S = 3_600.0


class Profiled(msgspec.Struct, frozen=True):
    """What it took to sum up a file. Nothing but `failed` where it did not end well."""

    rows: int = 0
    seconds: float = 1.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    failed: str = ""


def measure(stand: Stand) -> Result:
    """The row."""
    first, small, large = (training_file(rows) for rows in (FEW_ROWS, ROWS, MANY_ROWS))
    found: dict[str, list[Profiled]] = {OURS: [], WHYLOGS: [], PANDAS: []}
    many: dict[str, Profiled] = {}
    with _every_core(stand):
        for _ in range(min(stand.rounds, ROUNDS)):
            for name, runs in found.items():
                runs.append(profiled(name, first, small))
                stand.tell(_line(name, runs[-1]))
        for name in (OURS, PANDAS):
            many[name] = profiled(name, first, large)
            stand.tell(_line(name, many[name]))
    return judged(found, many)


def training_file(rows: int) -> Path:
    """The file of so many rows, made if it is not there."""
    path = FOLDER / f"training-{training_set.VERSION}-{rows}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        script = str(Path(training_set.__file__))
        making = [profilers.python(), "-P", script, str(path), str(rows)]
        if subprocess.run(making, check=False).returncode:
            raise Missing(f"the training set could not be written to {path.parent.name}/; is there room on the disk?")
    return path


def profiled(name: str, first: Path, path: Path) -> Profiled:
    """One contender on one file, in a process of its own, which read the `first` file before the clock began."""
    # -P keeps this script's folder, where the bench's modules lie, off the search path.
    python = sys.executable if name == OURS else profilers.python()
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if name == OURS else ""}
    # whylogs counts its users unless it is told not to; nothing here leaves this machine.
    environment |= {"WHYLOGS_NO_ANALYTICS": "True"}
    command = [python, "-P", str(Path(profile_run.__file__)), name, str(first), str(path)]
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return Profiled(failed=f"not done after {_PATIENCE_S / 60:.0f} minutes")
    if done.returncode == -9:
        return Profiled(failed="out of memory")
    if done.returncode:
        return Profiled(failed=(done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return msgspec.json.decode(done.stdout, type=Profiled)


def judged(found: Mapping[str, Sequence[Profiled]], many: Mapping[str, Profiled]) -> Result:
    """At least five times whylogs' rows per second, and at most 2 GiB resident for twenty million rows. Pure."""
    rates = {name: _rates(runs) for name, runs in found.items()}
    failures = [f"{name}: {run.failed}" for name, runs in found.items() for run in runs if run.failed]
    large = many[OURS]
    findings = [
        Finding(
            measure=f"rows/s of a baseline, {ROWS:,} × {COLUMNS}",
            against=peer,
            reached=None if failures else ratio(rates[OURS], rates[peer]),
            limit=limit,
            at_least=True,
            skipped="; ".join(failures),
        )
        for peer, limit in ((WHYLOGS, LIMIT_RATIO),)
    ]
    findings.append(
        Finding(
            measure=f"most resident, baseline of {MANY_ROWS:,} × {COLUMNS}",
            reached=None if large.failed else spread([large.peak_bytes / MIB]),
            limit=LIMIT_MIB,
            unit=" MiB",
            digits=0,
            skipped=large.failed,
        )
    )
    rows = [_cells(name, runs) for name, runs in found.items()] + [_cells(name, [run]) for name, run in many.items()]
    bars = [Bar(name, spread(rates[name]), ours=name == OURS) for name in found if rates[name]]
    return Result(
        title="A baseline of training data",
        findings=findings,
        tables=[Table(("contender", "rows", "rows/s", "seconds", "CPU, s", "most resident, MiB"), rows)],
        panels=[Panel(f"rows/s summed up, {ROWS:,} × {COLUMNS}", bars, digits=0)] if bars else (),
        note=(
            f"One Parquet file of {COLUMNS} columns: 14 floats, 8 integers, a 0/1 outcome, 5 texts with 6 to 50,000 "
            "values, a boolean, a time; row groups of 500,000. Reading it is part of every figure, imports are not. "
            f"Each run is a process of its own with both cores. {OURS} is `build_from_file` with time blocks, "
            f"prediction and outcome; whylogs is `why.log` of a data frame; pandas is `describe(include='all')`. "
            f"Against {profilers.versions()}."
        ),
    )


def _rates(runs: Sequence[Profiled]) -> list[float]:
    return [run.rows / run.seconds for run in runs if not run.failed]


def _cells(name: str, runs: Sequence[Profiled]) -> tuple[str, ...]:
    done = [run for run in runs if not run.failed]
    if not done:
        return (name, "–", runs[0].failed, "–", "–", "–")
    return (
        name,
        f"{done[0].rows:,}",
        spread(_rates(done)).shown(0),
        spread([run.seconds for run in done]).shown(1),
        spread([run.cpu_s for run in done]).shown(1),
        spread([run.peak_bytes / MIB for run in done]).shown(0),
    )


def _line(name: str, run: Profiled) -> str:
    if run.failed:
        return f"{name:<16} {run.failed}"
    return f"{name:<16} {run.rows / run.seconds:,.0f} rows/s, {run.seconds:.1f} s, {run.peak_bytes / MIB:,.0f} MiB"


@contextlib.contextmanager
def _every_core(stand: Stand) -> Iterator[None]:
    """Children get both cores: nobody else is under load here."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {stand.core, stand.load_core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
