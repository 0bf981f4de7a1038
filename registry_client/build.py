"""Build a baseline from a CSV or Parquet file with DuckDB.

Invariant: the same result as `build_baseline` on the same values (times are written as DuckDB writes them); at most
one column is in memory at a time, and of a categorical one only its distinct texts. CSV is parsed once, into a
temporary database on disk. Every fault is a RegistryError in a sentence. It opens no network and installs no
extension. Called by the command line and pipelines.
"""

from __future__ import annotations

import glob
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import (
    FEATURE_LIMIT,
    FORMAT,
    Baseline,
    FeatureBaseline,
    OutcomeBaseline,
    Source,
    sealed,
)
from registry_client.cells import CATEGORY_LIMIT, TAIL_LIMIT
from registry_client.column import CategoryTally, category_text
from registry_client.csv_rows import open_csv, quoted
from registry_client.errors import InvalidDocument, NotFound, RegistryError
from registry_client.from_columns import (
    categorical_feature,
    numeric_feature,
    outcome_of,
    require_columns,
)

_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_INTEGERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")) | {
    "INTEGER",
    "UINTEGER",
}
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")
_NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "VARIANT", "GEOMETRY")

# DuckDB is an extra and may be absent where this package is type-checked.
_Connection: TypeAlias = Any


def build_from_file(
    path: Path,
    *,
    prediction: str | None = None,
    outcome: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    now: datetime | None = None,
) -> Baseline:
    """Sum up the rows of a CSV (with a header) or Parquet file.

    `prediction` and `outcome` are as in `build_baseline`; the column `time` and those in `exclude` are left out.
    `progress` is told (columns done, columns in all). Raises NotFound for the file, InvalidDocument where it cannot
    be read or summed up, RegistryError for a missing DuckDB.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    duckdb = _duckdb()
    roles = _Roles(prediction, outcome, (*exclude, *((time,) if time is not None else ())))
    with tempfile.TemporaryDirectory(prefix="baseline-") as scratch:
        settings = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        try:
            with closing(duckdb.connect(str(Path(scratch) / "rows.duckdb"), config=settings)) as connection:
                _open_rows(connection, path)
                content = _content(connection, roles, progress)
        except duckdb.Error as error:
            raise InvalidDocument(f"{path} cannot be read: {_reason(error)}") from error
        except ValueError as error:
            raise InvalidDocument(f"{path}: {error}") from error
    with path.open("rb") as file:
        digest = f"sha256:{file_digest(file, 'sha256').hexdigest()}"
    return sealed(
        Baseline(
            format=FORMAT,
            created_at=now or datetime.now(UTC),
            rows=content.rows,
            source=Source(name=path.name, digest=digest),
            features=content.features,
            prediction=content.prediction,
            outcome=content.outcome,
        )
    )


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which columns are no features."""

    prediction: str | None
    outcome: str | None
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Content:
    """A file summed up."""

    rows: int
    features: tuple[FeatureBaseline, ...]
    prediction: FeatureBaseline | None
    outcome: OutcomeBaseline | None


def _reason(error: Exception) -> str:
    """DuckDB's explanation in one line, without its advice and without the offending line: that is data."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = takewhile(lambda line: line and not line.lower().startswith("possible"), lines)
    return "; ".join(line for line in told if not line.startswith("Original Line"))[:500]


def _duckdb() -> Any:
    try:
        return import_module("duckdb")
    except ImportError as error:
        raise RegistryError("reading CSV and Parquet needs DuckDB: install 'serving-sidecar[baseline]'") from error


def _open_rows(connection: _Connection, path: Path) -> None:
    """Make the file readable under the name `data`."""
    # The path is a pattern to DuckDB, but a name to the person who typed it.
    literal = glob.escape(str(path.resolve()))
    name = path.name.lower()
    if name.endswith(_CSV):
        open_csv(connection, path, literal)
    elif name.endswith(_PARQUET):
        # A view takes no parameters.
        escaped = literal.replace("'", "''")
        connection.execute(f"CREATE VIEW data AS SELECT * FROM read_parquet('{escaped}')")
    else:
        raise ValueError(f"the name must end in one of {', '.join((*_CSV, *_PARQUET))}")


def _content(connection: _Connection, roles: _Roles, progress: Callable[[int, int], None] | None) -> _Content:
    described: list[tuple[Any, ...]] = connection.execute("DESCRIBE data").fetchall()
    types: dict[str, str] = {row[0]: row[1] for row in described}
    rows: int = connection.execute("SELECT count(*) FROM data").fetchone()[0]
    if not rows:
        raise ValueError("the file has no rows")
    require_columns((roles.prediction, roles.outcome, *roles.left_out), types)
    wanted = [name for name in types if name not in {*roles.left_out, roles.outcome}]
    if len(wanted) > FEATURE_LIMIT + 1:
        raise ValueError(f"{len(wanted)} columns are more than a baseline's {FEATURE_LIMIT}")
    features: dict[str, FeatureBaseline] = {}
    for done, name in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted))
        features[name] = _feature(connection, name, types[name], rows)
    if progress is not None:
        progress(len(wanted), len(wanted))
    predicted = features.pop(roles.prediction) if roles.prediction is not None else None
    truth = None
    if roles.outcome is not None:
        truth = outcome_of(roles.outcome, _tally(connection, roles.outcome, types[roles.outcome], rows))
    return _Content(rows, tuple(features.values()), predicted, truth)


def _feature(connection: _Connection, name: str, sql_type: str, rows: int) -> FeatureBaseline:
    if sql_type.endswith("]") or sql_type.startswith(_NESTED):
        raise ValueError(f"column {name!r} is of type {sql_type}, which has no distribution to keep; exclude it")
    is_float = sql_type.startswith(_FLOATS)
    if is_float or (sql_type in _INTEGERS and _has_three(connection, name)):
        numbers = _numbers(connection, name)
        if np.isfinite(numbers).any():
            return numeric_feature(name, numbers)
    return categorical_feature(name, _tally(connection, name, sql_type, rows))


def _numbers(connection: _Connection, name: str) -> NDArray[np.float64]:
    query = f"SELECT CAST({quoted(name)} AS DOUBLE) AS number FROM data"
    array = connection.execute(query).fetchnumpy()["number"]
    return np.asarray(np.ma.filled(array, np.nan), dtype=np.float64)


def _has_three(connection: _Connection, name: str) -> bool:
    column = quoted(name)
    query = f"SELECT count(*) FROM (SELECT DISTINCT {column} FROM data WHERE {column} IS NOT NULL LIMIT 3)"
    return bool(connection.execute(query).fetchone()[0] == 3)


def _tally(connection: _Connection, name: str, sql_type: str, rows: int) -> CategoryTally:
    """Count a column by text in DuckDB; of more texts than cells could know, only the most frequent come back."""
    column = quoted(name)
    if sql_type.startswith("DECIMAL"):
        column = f"CAST({column} AS DOUBLE)"
    elif sql_type not in _INTEGERS and not sql_type.startswith(("BOOLEAN", "FLOAT", "DOUBLE")):
        column = f"CAST({column} AS VARCHAR)"
    query = f"SELECT {column} AS value, count(*) AS n FROM data GROUP BY 1 ORDER BY n DESC, value LIMIT ?"
    texts: Counter[str] = Counter()
    missing = 0
    for value, count in connection.execute(query, [CATEGORY_LIMIT + TAIL_LIMIT + 1]).fetchall():
        text = None if value is None or value != value else category_text(value)  # noqa: PLR0124 -- NaN
        if text is None:
            missing += count
        else:
            texts[text] += count
    return CategoryTally(texts, missing=missing, unlisted=rows - missing - texts.total())
