"""A training set of any length for the bench: 30 columns of every kind, the same rows from the same seed.

Runs in the profilers' environment (`profilers.py`), as `python training_set.py PATH ROWS`; imports numpy and pyarrow
only. Rows come in chunks, each from a generator of its own, so that no more than one chunk is ever in memory.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # of the rows: another one makes another file
CHUNK_ROWS = 500_000  # also a row group
SEED = 20_130_101
TIME, PREDICTION, OUTCOME = "at", "score", "fraud"
COUNTRIES, DEVICES, TRADES, CITIES, POSTCODES = 40, 6, 300, 20_000, 50_000
_BEGIN_S, _YEAR_S = 1_735_689_600, 365 * 86_400  # from 2025-01-01T00:00:00Z


def chunk(
    number: int, first_row: int, rows: int, whole: int
) -> dict[str, NDArray[Any] | tuple[NDArray[Any], str, int]]:
    """The columns of one chunk. A text column is (codes, prefix, how many texts); NaN is written as a null."""
    rng = np.random.Generator(np.random.Philox(key=np.array([SEED, number], dtype=np.uint64)))
    amount = rng.lognormal(3.5, 1.2, rows).round(2)
    usual = rng.lognormal(3.4, 0.6, rows)
    score = rng.beta(1.2, 12.0, rows)
    seconds = _BEGIN_S + (first_row + np.arange(rows)) * (_YEAR_S / whole)
    return {
        "amount": amount,
        "amount_usual": usual,
        "amount_ratio": amount / usual,
        "balance": _gaps(rng, rng.normal(1_500.0, 4_000.0, rows), 0.03),
        "temperature_k": rng.normal(288.0, 5.0, rows),
        "latitude": rng.uniform(35.0, 60.0, rows),
        "longitude": rng.uniform(-10.0, 25.0, rows),
        "distance_km": rng.pareto(1.3, rows) * 2.0,
        "fee": np.where(rng.random(rows) < 0.8, 0.0, rng.exponential(1.5, rows).round(2)),
        "risk": rng.beta(2.0, 5.0, rows),
        "speed": _gaps(rng, np.abs(rng.normal(0.0, 30.0, rows)), 0.1).astype(np.float32),
        "tenure_years": rng.exponential(4.0, rows),
        "noise": rng.normal(size=rows),
        "items": rng.poisson(3.0, rows).astype(np.int32),
        "born": (2007 - rng.gamma(4.0, 9.0, rows)).astype(np.int16),
        "hour": (seconds // 3600 % 24).astype(np.int8),
        "attempts": rng.geometric(0.7, rows),
        "merchant": _skewed(rng, 200_000, rows),
        "opened_s": (seconds - rng.exponential(5e7, rows)).astype(np.int64),
        "is_weekend": (seconds // 86_400 % 7 >= 5).astype(np.int8),
        "credit_limit": (rng.integers(1, 13, rows) * 500).astype(np.int32),
        "country": (_skewed(rng, COUNTRIES, rows), "land-", COUNTRIES),
        "device": (_skewed(rng, DEVICES, rows), "device-", DEVICES),
        "trade": (_skewed(rng, TRADES, rows), "trade-", TRADES),
        "city": (_skewed(rng, CITIES, rows), "city-", CITIES),
        "postcode": (rng.integers(0, POSTCODES, rows), "P", POSTCODES),
        "chip_present": rng.random(rows) < 0.9,
        TIME: (seconds * 1e6).astype("datetime64[us]"),
        PREDICTION: score,
        OUTCOME: (rng.random(rows) < score).astype(np.int8),
    }


def write(path: Path, rows: int) -> None:
    """Writes the file, whole or not at all."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    scratch = path.with_name(f".{path.name}.part")
    writer = None
    for number, first in enumerate(range(0, rows, CHUNK_ROWS)):
        columns = chunk(number, first, min(CHUNK_ROWS, rows - first), rows)
        table = arrow.table({name: _array(arrow, column) for name, column in columns.items()})
        if writer is None:
            writer = parquet.ParquetWriter(scratch, table.schema)
        writer.write_table(table, row_group_size=CHUNK_ROWS)
    if writer is None:
        raise ValueError("a training set has at least one row")
    writer.close()
    scratch.replace(path)


def _array(arrow: Any, column: NDArray[Any] | tuple[NDArray[Any], str, int]) -> Any:
    if isinstance(column, tuple):
        codes, prefix, texts = column
        words = arrow.array([f"{prefix}{number:05d}" for number in range(texts)])
        return arrow.DictionaryArray.from_arrays(arrow.array(codes.astype(np.int32)), words).cast(arrow.string())
    return arrow.array(column, from_pandas=True)


def _gaps(rng: np.random.Generator, values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return np.where(rng.random(values.size) < share, np.nan, values)


def _skewed(rng: np.random.Generator, kinds: int, rows: int) -> NDArray[np.int64]:
    """Codes below `kinds`, the small ones far more frequent: a third of the codes has seven tenths of the rows."""
    return (kinds * rng.random(rows) ** 3).astype(np.int64)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
