"""Sums up one Parquet file in one way and tells what it took, as JSON: `python profile_run.py CONTENDER SMALL FILE`.

Runs in the contender's own interpreter and imports nothing of the bench. Reading the file is part of the time, imports
are not: a small file is summed up first, since libraries import some of their parts only when they are used. Memory
is VmHWM: the most that this program had in RAM since it began, without what it was forked from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time

OURS, WHYLOGS, PANDAS = "registry_client", "whylogs", "pandas"


def ours() -> Callable[[Path], int]:
    """A baseline with time blocks and calibration, as `sidecar baseline build` makes it."""
    registry_client = import_module("registry_client")
    build = registry_client.build_from_file

    def run(path: Path) -> int:
        baseline = build(path, time="at", prediction="score", outcome="fraud")
        document = registry_client.to_json(baseline)
        return int(baseline.rows) if document else 0

    return run


def whylogs() -> Callable[[Path], int]:
    """A profile of all columns, as whylogs' documentation makes it of a data frame."""
    why, pandas = import_module("whylogs"), import_module("pandas")

    def run(path: Path) -> int:
        frame = pandas.read_parquet(path)
        document = why.log(pandas=frame).view().serialize()
        return len(frame) if document else 0

    return run


def pandas() -> Callable[[Path], int]:
    """`describe` of all columns."""
    library = import_module("pandas")

    def run(path: Path) -> int:
        frame = library.read_parquet(path)
        described = frame.describe(include="all")
        return len(frame) if len(described) else 0

    return run


_CONTENDERS = {OURS: ours, WHYLOGS: whylogs, PANDAS: pandas}


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """The program."""
    # Where memory does not suffice, it is this process that the kernel ends.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    run = _CONTENDERS[sys.argv[1]]()
    run(Path(sys.argv[2]))
    began_s, began_cpu_s = perf_counter(), process_time()
    rows = run(Path(sys.argv[3]))
    took_s, took_cpu_s = perf_counter() - began_s, process_time() - began_cpu_s
    print(json.dumps({"rows": rows, "seconds": took_s, "cpu_s": took_cpu_s, "peak_bytes": _peak_bytes()}))


if __name__ == "__main__":
    main()
