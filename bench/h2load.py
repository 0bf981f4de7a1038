"""The load with large bodies: h2load over HTTP/1.1, a file as the body of every request, eight kept connections."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec

from bench.programs import path_of

CONNECTIONS = 8
_RATE = re.compile(r"^finished in [^,]*, ([0-9.]+) req/s", re.MULTILINE)
_COUNTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", re.MULTILINE)


class LoadFailed(Exception):
    """h2load did not do its work."""


class Load(msgspec.Struct, frozen=True):
    """What h2load saw after the warm-up; `failed` also has the answers above 399."""

    requests_per_s: float
    done: int
    failed: int


def run(url: str, body: Path, seconds: int, warm_up_s: int = 1) -> Load:
    """Sends `body` to `url` for so long, again and again."""
    command = [path_of("h2load"), "--h1", "-t1", f"-c{CONNECTIONS}", "-D", str(seconds)]
    command += [f"--warm-up-time={warm_up_s}", "-d", str(body), "-H", "content-type: application/json", url]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds + warm_up_s + 30, check=False)
    except subprocess.TimeoutExpired:
        raise LoadFailed("h2load did not end") from None
    return read_result((done.stdout + done.stderr).decode(errors="replace"))


def read_result(output: str) -> Load:
    """The figures in what h2load says."""
    rate, counts = _RATE.search(output), _COUNTS.search(output)
    if rate is None or counts is None:
        raise LoadFailed(f"h2load gave no result: {output.strip()[-300:] or 'it said nothing'}")
    done, succeeded, _, _ = (int(group) for group in counts.groups())
    return Load(float(rate[1]), done, done - succeeded)
