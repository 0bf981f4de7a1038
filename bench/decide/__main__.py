"""`python -m bench.decide`: how gates decide and what deciding stands, measured in one run that needs nobody.

Exit code 0 when it was measured, whatever the figures say.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np

from bench.decide import aa_shadow, bulk_outcomes, late_outcomes, quality_numbers
from bench.drift.plan import Plan
from bench.programs import Missing
from bench.report import markdown, targets_table
from bench.result import Finding, Result

PAGE = Path(__file__).parent.parent.parent / "docs" / "deciding-measured.md"
# What an experiment may end with; only the unforeseen ends the run.
_FAULTS = (Missing, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, ImportError)
EXPERIMENTS: dict[str, Callable[[Plan], Result]] = {
    "K": aa_shadow.measure,
    "L": quality_numbers.measure,
    "M": late_outcomes.measure,
    "S": bulk_outcomes.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.decide", description=__doc__)
    letters = ", ".join(EXPERIMENTS)
    parser.add_argument("--only", action="append", choices=EXPERIMENTS, metavar="LETTER", help=f"of {letters}")
    parser.add_argument("--quick", action="store_true", help="fewer runs and rows")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{PAGE.name}")
    given = parser.parse_args(arguments)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    plan, began_s = Plan(given.quick, _tell), monotonic()
    try:
        results = [_measured(letter, plan) for letter in given.only or EXPERIMENTS]
    except KeyboardInterrupt:
        return 130
    text = _whole(results, given.quick, (monotonic() - began_s) / 60)
    print(f"\n{text}")
    if given.write_docs:
        PAGE.write_text(
            "# Deciding, measured\n\nWritten by `python -m bench.decide --write-docs`; run it again rather than edit "
            f"this.\n\n{text}\n"
        )
    return 0


def _measured(letter: str, plan: Plan) -> Result:
    """One experiment; what goes wrong in one does not take the others with it, and is told."""
    plan.tell(f"\n{letter}")
    try:
        result = EXPERIMENTS[letter](plan)
    except _FAULTS as error:
        traceback.print_exc()
        failed = Finding(measure=f"experiment {letter}", limit=0.0, unit="", skipped=f"it failed: {error}")
        return Result(title=f"{letter}. Not measured", findings=[failed])
    plan.tell(markdown(targets_table(result.findings)))
    return result


def _whole(results: Sequence[Result], quick: bool, minutes: float) -> str:
    machine = (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}; the "
        f"{'quick' if quick else 'full'} form took {minutes:.0f} minutes."
    )
    findings = targets_table([finding for result in results for finding in result.findings])
    parts = [machine, markdown(findings)]
    for result in results:
        parts += [f"## {result.title}", *(markdown(table) for table in result.tables), *filter(None, [result.note])]
    return "\n\n".join(parts)


def _tell(line: str) -> None:
    print(line, flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
