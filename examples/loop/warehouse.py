"""Where labelled rows end up: a file of JSON lines, as a warehouse would have a table.

Keeps: a row is in it once its outcome is known, with the time of its request; what is half written is not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.loop.world import FEATURES, Rows

Stretch = tuple[float, float]


def append(path: Path, rows: Iterable[tuple[float, Sequence[float], int]]) -> None:
    """Adds rows: time of the request in seconds since the epoch, features, outcome."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps([at, *map(float, features), fraud]) + "\n" for at, features, fraud in rows)


def between(
    path: Path, since: float, until: float, leave_out: Sequence[Stretch] = ()
) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows of a time, without those of stretches that are left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    table = np.array([json.loads(line) for line in text.split("\n")[:-1]]).reshape(-1, len(FEATURES) + 2)
    at = table[:, 0]
    wanted = (at >= since) & (at < until)
    for begin, end in leave_out:
        wanted &= (at < begin) | (at >= end)
    chosen = table[wanted]
    return chosen[:, 1:-1].astype(np.float32), chosen[:, -1].astype(np.int64)


def seconds(time: str) -> float:
    """An RFC 3339 time, as events have it."""
    return datetime.fromisoformat(time).timestamp()
