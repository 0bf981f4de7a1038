"""Asks the peers: jobs of windows, streams or tables go out as one file, answers come back as another.

A job is columns of numbers; what a peer is asked for and how is in `peer_run.py`. A peer that is not installed, or
fails, raises Missing with its own last words; the experiments then report the row as not measured.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift import environments, peer_run
from bench.programs import Missing

Floats = NDArray[np.float64]
_PATIENCE_S = 1_200.0


class Windows(msgspec.Struct, frozen=True):
    """One column's reference and windows (shape (R, w)); categories are whole numbers. Asked of batch peers."""

    reference: Floats
    windows: Floats
    kind: str = "numeric"


class Judged(msgspec.Struct, frozen=True):
    """What a peer said of each window: its statistic, larger for more drift, and its alarm at defaults."""

    statistic: tuple[float, ...]
    alarm: tuple[bool, ...]


def judge(method: str, jobs: Sequence[Windows]) -> list[Judged | None]:
    """A batch peer's word on the windows of each job, None where it refuses such a job; raises Missing."""
    arrays: dict[str, Floats] = {}
    for number, job in enumerate(jobs):
        arrays[f"{number}/reference"], arrays[f"{number}/windows"] = job.reference, job.windows
    task = {"method": method, "kinds": [job.kind for job in jobs]}
    return msgspec.convert(ask(method, "windows", task, arrays), list[Judged | None])


def ask(method: str, task: str, options: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Runs a task in the environment of the method's peer: `evidently-ks` is one of evidently's methods."""
    peer = method.split("-", maxsplit=1)[0]
    python = environments.python(peer)
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        given, answer = Path(folder, "given.npz"), Path(folder, "answer.json")
        np.savez(given, allow_pickle=False, **dict(arrays))
        Path(folder, "options.json").write_bytes(msgspec.json.encode({"method": method, **options}))
        # -P keeps the bench's own folder off the search path; the peer sees one script and its own packages.
        command = [python, "-P", str(Path(peer_run.__file__)), task, folder]
        try:
            done = subprocess.run(
                command,
                env=environments.environment(),
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE_S,
            )
        except subprocess.TimeoutExpired as error:
            raise Missing(f"{method} was not done after {_PATIENCE_S / 60:.0f} minutes") from error
        if done.returncode or not answer.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Missing(f"{method}: {said[:300]}")
        return msgspec.json.decode(answer.read_bytes())
