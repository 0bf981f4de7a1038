"""Folds many values into one observer and says what memory that keeps: `python memory_run.py FEATURES HOW N ...`

Prints a line of JSON for each number N of values: what it holds beyond what it held before it read the baseline. HOW is
`live`, for every object in use, counted; or `resident`, for what the process keeps from others: of its own, and pages
of programs that it used for the first time. The baseline is made by another process, so that nothing which a builder
gave back is at hand for the observer.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift.product import BEGIN_S, baseline_of, observer_of
from registry_client import from_json, to_json
from registry_client.held_baseline import packed, unpacked
from sidecar.payload.columns import Columns
from sidecar.records import Sample

VALUES, BLOCKS = 100_000, 8  # of a request, which is a bucket, too; and different ones
_BUILD, LIVE = "baseline", "live"


def main() -> None:
    features, how, limits = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    names = tuple(f"n{number}" for number in range(features))
    if how == _BUILD:
        table = dict(zip(names, next(blocks(features)).T, strict=True))
        sys.stdout.buffer.write(to_json(baseline_of(table)))
        return
    build = [sys.executable, __file__, str(features), _BUILD]
    document = subprocess.run(build, stdout=subprocess.PIPE, check=True).stdout
    traffic = [Columns(len(block), names, block) for _, block in zip(range(BLOCKS), blocks(features), strict=False)]
    gc.collect()
    if how == LIVE:
        tracemalloc.start()
    before = memory_bytes()
    observer = observer_of(unpacked(packed(from_json(document))))
    requests = 0
    for limit in map(int, limits):
        while requests * VALUES < limit:
            columns = traffic[requests % BLOCKS]
            observer.fold(Sample("r", BEGIN_S + 60.0 * requests + 1.0, columns.rows, columns, None))
            requests += 1
            observer.tick(BEGIN_S + 60.0 * requests)
        gc.collect()
        now = memory_bytes()
        grown = {kind: max(now[kind] - before[kind], 0) for kind in now}
        told = {"values": requests * VALUES, **grown, "snapshot": len(observer.snapshot())}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()


def blocks(features: int) -> Iterator[NDArray[np.float64]]:
    """Rows without end, the same for every process."""
    rng = np.random.default_rng(7)
    while True:
        yield rng.lognormal(3.0, 2.0, (VALUES // features, features))


def memory_bytes() -> dict[str, int]:
    """Bytes of this process: proc(5), /proc/PID/status; `live` is 0 where nothing is traced."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    resident = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[0].startswith("Rss")}
    return {"live": tracemalloc.get_traced_memory()[0], "own": resident["RssAnon"], "programs": resident["RssFile"]}


if __name__ == "__main__":
    main()
