"""The load: wrk with one thread and 32 kept connections, sending as fast as it is answered, or paced."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from bench.programs import path_of
from bench.traffic import wrk_script

CONNECTIONS = 32


class LoadFailed(Exception):
    """wrk did not do its work."""


class Load(msgspec.Struct, frozen=True):
    """What wrk saw. `failed` connections broke or timed out, `refused` answers had a status above 399."""

    requests: int
    seconds: float
    failed: int
    refused: int
    p50_ms: float
    p99_ms: float

    @property
    def errors(self) -> int:
        """Everything that was not a good answer."""
        return self.failed + self.refused


def write_script(path: Path, bodies: list[bytes], rate_per_s: float | None = None, *, own_ids: bool = False) -> Path:
    """Writes the script that `run` needs; with a rate, connections pause so that about as many requests come.

    With `own_ids` no two requests have the same head.
    """
    pause_ms = 1000.0 * CONNECTIONS / rate_per_s if rate_per_s else 0.0
    path.write_text(wrk_script(bodies, pause_ms, own_ids=own_ids))
    return path


def run(url: str, script: Path, seconds: int, look: Callable[[], None] | None = None, every_s: float = 0.5) -> Load:
    """Loads `url` for so long; meanwhile calls `look` every so often."""
    command = [path_of("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script), url]
    wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = monotonic() + seconds + 20
    try:
        while True:
            try:
                output, _ = wrk.communicate(timeout=every_s)
                break
            except subprocess.TimeoutExpired:
                if monotonic() > deadline:
                    raise LoadFailed("wrk did not end") from None
                if look is not None:
                    look()
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    return read_result(output.decode(errors="replace"))


def read_result(output: str) -> Load:
    """The line that the script's `done` wrote."""
    for line in output.splitlines():
        if line.startswith("result "):
            try:
                return msgspec.json.decode(line.removeprefix("result "), type=Load)
            except msgspec.DecodeError as error:
                raise LoadFailed(f"wrk's result makes no sense: {line}") from error
    raise LoadFailed(f"wrk gave no result: {output.strip()[-300:] or 'it said nothing'}")
