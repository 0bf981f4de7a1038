"""Which files are meant: a path, a folder, a glob, or a list of these.

Invariant: the answer is sorted, every file is in it once, and all are CSV or all are Parquet. A name that exists is a
name, even if it looks like a pattern. In folders, names that begin with a dot or an underscore are left out, as Spark
and Arrow do. It opens nothing. Called by `build`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import TypeAlias

from registry_client.errors import InvalidDocument, NotFound

Paths: TypeAlias = str | Path | Sequence[str | Path]

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_READABLE = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)


def data_files(data: Paths) -> tuple[Path, ...]:
    """The files, ascending; NotFound where there are none, InvalidDocument where they will not do together."""
    named = [data] if isinstance(data, (str, Path)) else list(data)
    if not named:
        raise NotFound("no file was named")
    # The same file under two names would be counted twice.
    found = sorted({path.resolve(): path for name in named for path in _files_of(Path(name))}.values())
    for path in found:
        if not path.name.lower().endswith(_READABLE):
            raise InvalidDocument(f"{path}: the name must end in one of {', '.join(_READABLE)}")
    if len({is_csv(path) for path in found}) > 1:
        raise InvalidDocument(f"some of the files are CSV and others Parquet, such as {found[0]} and {found[-1]}")
    return tuple(found)


def is_csv(path: Path) -> bool:
    """Whether a file is CSV by its name."""
    return path.name.lower().endswith(CSV_SUFFIXES)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        inside = [file for file in _inside(path) if file.name.lower().endswith(_READABLE)]
        if not inside:
            raise NotFound(f"there is no CSV or Parquet file in the folder {path}")
        yield from inside
    elif has_magic(str(path)):
        matching = [Path(name) for name in glob(str(path), recursive=True)]  # noqa: PTH207 -- a pattern may be absolute
        if not matching:
            raise NotFound(f"no file matches {path}")
        for match in matching:
            yield from _files_of(match)
    else:
        raise NotFound(f"there is no file {path}")


def _inside(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (Path(parent) / name for name in names if not name.startswith((".", "_")))
