"""Load that does not wait for answers: requests at random moments, about so many a second, the same for everybody.

A latency counts from the moment when the request was due, not from when it could be sent: a proxy that stalls cannot
hide by keeping the load from coming (coordinated omission). The generator is a process of its own, `bench.generator`.
"""

from __future__ import annotations

import random
import subprocess
import sys
from math import ceil
from pathlib import Path

import msgspec

from bench.build import ROOT

_SEED = 1000
_END_S = 30.0


class LoadFailed(Exception):
    """The generator did not do its work."""


class Latencies(msgspec.Struct, frozen=True):
    """What came of the requests that were due after the warm-up. `late_p99_ms`: how late the generator sent them."""

    due: int
    failed: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    late_p99_ms: float


def moments(rate_per_s: float, seconds: float, seed: int = _SEED) -> list[float]:
    """When requests are due, in seconds from the start: a Poisson process, as many independent callers make it."""
    rng, at, found = random.Random(seed), 0.0, []
    while (at := at + rng.expovariate(rate_per_s)) < seconds:
        found.append(at)
    return found


def percentile(ordered: list[float], share: float) -> float:
    """The least value that at least this share of all are not above (nearest rank).

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def summed(latencies_s: list[float], lateness_s: list[float], failed: int) -> Latencies:
    """Percentiles over what was answered; at least one must be."""
    ordered, late = sorted(latencies_s), sorted(lateness_s)
    return Latencies(
        due=len(ordered) + failed,
        failed=failed,
        p50_ms=percentile(ordered, 0.5) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
        most_ms=ordered[-1] * 1e3,
        late_p99_ms=percentile(late, 0.99) * 1e3,
    )


class Generator:
    """One run, begun at its making."""

    def __init__(self, url: str, bodies: Path, rate_per_s: float, seconds: float) -> None:
        command = [sys.executable, "-m", "bench.generator", url, str(bodies), str(rate_per_s), str(seconds)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
        self._within_s = seconds + _END_S

    def result(self) -> Latencies:
        """Waits for its end."""
        try:
            output, _ = self._child.communicate(timeout=self._within_s)
        except subprocess.TimeoutExpired:
            raise LoadFailed("the generator did not end") from None
        finally:
            self.stop()
        try:
            return msgspec.json.decode(output.splitlines()[-1] if output else b"", type=Latencies)
        except msgspec.DecodeError:
            said = output.decode(errors="replace").strip()[-300:]
            raise LoadFailed(f"the generator gave no result: {said or 'it said nothing'}") from None

    def stop(self) -> None:
        """Ends it, whatever it does."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()


def write_bodies(path: Path, bodies: list[bytes]) -> Path:
    """Writes the bodies that the generator sends in turn."""
    path.write_bytes(msgspec.msgpack.encode(bodies))
    return path


def run(url: str, bodies: Path, rate_per_s: float, seconds: float) -> Latencies:
    """One run from beginning to end."""
    generator = Generator(url, bodies, rate_per_s, seconds)
    try:
        return generator.result()
    finally:
        generator.stop()
