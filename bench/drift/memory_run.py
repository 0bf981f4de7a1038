"""A process that folds many values into one observer and says how much memory that keeps. `python memory_run.py N ...`

Prints a line of JSON for each number of values: what the process holds beyond what it held before the first row.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import msgspec
import numpy as np

from bench.drift.product import BEGIN_S, baseline_of, observer_of, sample_of

FEATURES, ROWS = 50, 10_000
BUCKET_ROWS = 50_000


def main() -> None:
    rng = np.random.default_rng(7)
    tables = []
    for _ in range(8):
        numbers = rng.lognormal(3.0, 2.0, (ROWS, FEATURES))
        tables.append({f"n{index}": np.ascontiguousarray(numbers[:, index]) for index in range(FEATURES)})
    baseline = baseline_of(tables[0])
    gc.collect()
    before = _resident_bytes()
    observer = observer_of(baseline)
    done, bucket, in_bucket = 0, 0, 0
    for limit in map(int, sys.argv[1:]):
        while done < limit:
            observer.fold(sample_of(tables[(done // (ROWS * FEATURES)) % len(tables)], BEGIN_S + 60.0 * bucket + 1.0))
            done, in_bucket = done + ROWS * FEATURES, in_bucket + ROWS
            if in_bucket >= BUCKET_ROWS:
                bucket, in_bucket = bucket + 1, 0
                observer.tick(BEGIN_S + 60.0 * bucket)
        gc.collect()
        grown = max(_resident_bytes() - before, 0)
        told = {"values": done, "grown_bytes": grown, "snapshot_bytes": len(observer.snapshot())}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
