"""A Parquet file's rows, batch by batch in bounded memory, for the commands that post what a file holds.

Keeps: the file named is the file read (no pattern), and nothing is downloaded for it. Judges no row. Called by
`outcome_file` and `feature_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path

from sidecar.cli.failure import CommandFailed

_BATCH = 1_000

Rows = Iterator[tuple[object, ...]]


@contextmanager
def parquet_rows(path: Path, *, say_why: bool) -> Iterator[tuple[list[str], Rows]]:
    """The columns' names and the rows. CommandFailed names the file; `say_why` adds duckdb's own words to it.

    Those words may hold a value of the file, which some files' values must not be shown.
    """
    try:
        duckdb = import_module("duckdb")
    except ImportError:
        raise CommandFailed("Parquet needs duckdb: pip install 'serving-sidecar[baseline]'") from None
    if not path.is_file():
        raise CommandFailed(f"{path} cannot be read: no such file")
    try:
        with closing(duckdb.connect(config={"autoinstall_known_extensions": "false"})) as connection:
            # duckdb reads glob patterns; a file is meant literally.
            literal = "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
            found = connection.execute("SELECT * FROM read_parquet(?)", [literal])
            batches = iter(lambda: found.fetchmany(_BATCH), [])
            yield [column[0] for column in found.description], (row for batch in batches for row in batch)
    except duckdb.Error as fault:
        why = f": {str(fault).strip().partition(chr(10))[0]}" if say_why else ""
        raise CommandFailed(f"{path} cannot be read as Parquet{why}") from None
