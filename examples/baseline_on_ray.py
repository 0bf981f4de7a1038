"""A baseline built on a Ray cluster: each partition is summed up where a worker reads it, and the sums are merged.

`python -m examples.baseline_on_ray [DATA]` (or `make example-ray`): DATA is a folder of Parquet files; without one a
year of payments is made up, a file a month. Only sums of a few hundred KB travel between machines, never rows. At the
end the same files are summed up by one process: the two baselines must be equal to the byte, or it exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from registry_client import Baseline, to_json
from registry_client.summary import Summary, merge, summarise

PARTITIONS, ROWS = 12, 50_000  # of the made-up year
ROLES: dict[str, Any] = {"time": "at", "prediction": "score", "outcome": "fraud"}


def part_of(path: str) -> bytes:
    """One partition summed up. Runs on whichever machine of the cluster; what it returns is all that travels."""
    return summarise(path, **ROLES).to_bytes()


def merged(parts: Iterable[bytes]) -> Summary:
    """The sum of all parts, in whatever order they come; no more than two are in memory at a time."""
    return merge(Summary.from_bytes(part) for part in parts)


def on_ray(paths: Sequence[str], tell: Callable[[str], None]) -> Summary:
    """`part_of` as a Ray task for each partition, `merged` as their results come."""
    ray = import_module("ray")
    # Where there is a cluster, `ray.init(address="auto")` is all that changes.
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    try:
        task = ray.remote(part_of)
        return merged(_as_they_end(ray, [task.remote(path) for path in paths], tell))
    finally:
        ray.shutdown()


def _as_they_end(ray: Any, waiting: list[Any], tell: Callable[[str], None]) -> Iterator[bytes]:
    total = len(waiting)
    while waiting:
        (ended, *_), waiting = ray.wait(waiting, num_returns=1)
        part: bytes = ray.get(ended)
        tell(f"  part {total - len(waiting)} of {total}: {len(part):,} bytes")
        yield part


def write_payments(folder: Path, *, partitions: int = PARTITIONS, rows: int = ROWS) -> list[str]:
    """A made-up year of payments, the same each time; the paths of its partitions."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    paths = []
    countries = np.array(["DE", "FR", "IT", "ES", "PL", "SE"])
    for month in range(partitions):
        rng = np.random.default_rng(month)
        score = rng.beta(1.2, 12.0, rows)
        seconds = np.sort(rng.integers(0, 30 * 86_400, rows)) + month * 30 * 86_400
        payments = {
            "at": np.datetime64("2025-01-01", "s") + seconds.astype("timedelta64[s]"),
            "amount": rng.lognormal(3.5 + 0.05 * np.sin(month / 2), 1.2, rows).round(2),
            "items": rng.poisson(3.0, rows),
            "country": countries[(len(countries) * rng.random(rows) ** 2).astype(int)],
            "score": score,
            "fraud": (rng.random(rows) < score).astype(np.int8),
        }
        path = folder / f"month-{month + 1:02d}.parquet"
        parquet.write_table(arrow.table(payments), path)
        paths.append(str(path))
    return paths


def compared(paths: Sequence[str], tell: Callable[[str], None]) -> tuple[Baseline, Baseline]:
    """The baseline from the cluster, and that of one process over the same files."""
    now = datetime.now(UTC)
    began_s = perf_counter()
    from_cluster = on_ray(paths, tell).baseline(now=now)
    tell(f"Ray: {from_cluster.rows:,} rows in {perf_counter() - began_s:.1f} s, {from_cluster.digest}")
    began_s = perf_counter()
    from_one = summarise(list(paths), **ROLES).baseline(now=now)
    tell(f"one process: {from_one.rows:,} rows in {perf_counter() - began_s:.1f} s, {from_one.digest}")
    return from_cluster, from_one


def main() -> int:
    """0 if both baselines are the same, else 1."""
    parser = argparse.ArgumentParser(prog="python -m examples.baseline_on_ray", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, help="a folder of Parquet files with the columns of the example")
    parser.add_argument("-o", "--output", type=Path, help="write the baseline here")
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tell nobody
    with tempfile.TemporaryDirectory(prefix="baseline-on-ray-") as folder:
        paths = sorted(map(str, given.data.glob("*.parquet"))) if given.data else write_payments(Path(folder))
        if not paths:
            print(f"there is no Parquet file in {given.data}", file=sys.stderr)
            return 1
        print(f"{len(paths)} partitions, a Ray task each")
        from_cluster, from_one = compared(paths, print)
    if to_json(from_cluster) != to_json(from_one):
        print("the two baselines differ, which must not be", file=sys.stderr)
        return 1
    print("the two are equal to the byte")
    if given.output:
        given.output.write_bytes(to_json(from_cluster))
    return 0


if __name__ == "__main__":
    sys.exit(main())
