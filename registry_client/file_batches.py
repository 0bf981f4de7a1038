"""Parquet and CSV files as a stream of Arrow record batches.

Invariant: at most a few batches are in memory, only wanted columns are decoded, and all files of one stream have the
same columns. CSV is parsed once, into a temporary database on disk, by `csv_rows`. Faults of the files themselves are
InvalidDocument in a sentence without their data. It opens no network and installs no extension. Used by `build`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from registry_client.csv_rows import open_csv, quoted
from registry_client.data_files import is_csv
from registry_client.errors import InvalidDocument, RegistryError

_READ_AHEAD_BYTES = 1 << 20
_CSV_MEMORY = "1GB"


class Batches(Protocol):
    """Files that were opened: how many rows, which columns of which Arrow type in each file, and the batches."""

    rows: int

    @property
    def types(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """The name of each file, and its columns."""

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """Record batches of these columns, of at most so many rows."""


@contextmanager
def opened(paths: Sequence[Path]) -> Iterator[Batches]:
    """Open files of one kind; RegistryError where a library is missing, InvalidDocument where a file cannot be read."""
    arrow = _library("pyarrow")
    if not is_csv(paths[0]):
        yield _Parquet.of(paths)
        return
    duckdb = _library("duckdb")
    with tempfile.TemporaryDirectory(prefix="baseline-") as scratch:
        settings = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": _CSV_MEMORY,
        }
        try:
            with closing(duckdb.connect(str(Path(scratch) / "rows.duckdb"), config=settings)) as connection:
                open_csv(connection, paths)
                yield _Csv(connection, paths[0].name)
        except (duckdb.Error, arrow.ArrowException) as error:
            raise InvalidDocument(f"{_named(paths)} cannot be read: {_reason(error)}") from error


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        named = {"duckdb": "DuckDB", "pyarrow": "pyarrow"}[name]
        raise RegistryError(f"reading CSV and Parquet needs {named}: install 'serving-sidecar[baseline]'") from error


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"one of {paths[0]} and {len(paths) - 1} more"


@dataclass(slots=True)
class _Parquet:
    files: list[tuple[Path, Any]]
    rows: int
    types: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Parquet:
        files: list[tuple[Path, Any]] = []
        types: list[tuple[str, Mapping[str, Any]]] = []
        for path in paths:
            with _readable(path):
                schema = _parquet_file(path, ()).schema_arrow
            if len(set(schema.names)) != len(schema.names):
                raise InvalidDocument(f"{path}: two columns have the same name")
            texts = [
                name for name, column_type in zip(schema.names, schema.types, strict=True) if _is_text(column_type)
            ]
            with _readable(path):
                files.append((path, _parquet_file(path, texts)))
            types.append((path.name, dict(zip(schema.names, schema.types, strict=True))))
        return cls(files, sum(file.metadata.num_rows for _, file in files), types)

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        for path, file in self.files:
            with _readable(path):
                yield from file.iter_batches(batch_size=rows, columns=list(columns))


def _parquet_file(path: Path, texts: Sequence[str]) -> Any:
    # Texts stay dictionaries, as they mostly are in the file: each different one is looked at once a batch.
    return import_module("pyarrow.parquet").ParquetFile(
        path, read_dictionary=list(texts), pre_buffer=False, buffer_size=_READ_AHEAD_BYTES
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    arrow = import_module("pyarrow")
    try:
        yield
    except (arrow.ArrowException, OSError) as error:
        raise InvalidDocument(f"{path} cannot be read: {_reason(error)}") from error


def _is_text(arrow_type: Any) -> bool:
    types = import_module("pyarrow.types")
    return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type))


class _Csv:
    def __init__(self, connection: Any, name: str) -> None:
        self._connection = connection
        self.rows: int = connection.execute("SELECT count(*) FROM data").fetchall()[0][0]
        schema = self._reader("SELECT * FROM data LIMIT 0", 1).schema
        self.types = [(name, dict(zip(schema.names, schema.types, strict=True)))]

    def read(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        named = ", ".join(quoted(name) for name in columns)
        yield from self._reader(f"SELECT {named} FROM data", rows)

    def _reader(self, query: str, rows: int) -> Any:
        # A connection of its own for each query: one with an unfinished result takes no other.
        result = self._connection.cursor().sql(query)
        # DuckDB 1 has the second name, 2 the first.
        reader = getattr(result, "to_arrow_reader", None) or result.fetch_arrow_reader
        return reader(rows)


def _reason(error: Exception) -> str:
    """The library's explanation in one line, without its advice and without the offending line: that is data."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = takewhile(lambda line: line and not line.lower().startswith("possible"), lines)
    return "; ".join(line for line in told if not line.startswith("Original Line"))[:500]
