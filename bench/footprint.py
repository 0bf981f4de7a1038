"""How much an installation brings and how quickly it answers people: `python -m bench.footprint` writes the document.

Sizes: each product installed alone, as its own instructions say (`pip install NAME`; ours by its lock), into an
environment without pip and without bytecode, on this Python. Times: of the sidecar as it stands in this tree. The first
run takes some minutes and the network; `--times` leaves the sizes as they were measured last. Does not: judge what the
others can do; they do other things besides. Called by people.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.own_code import table
from bench.wide_sidecar import FEATURES, wide_sidecar

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "footprint.md"
KEPT = Path(__file__).parent / "footprint.json"
SCRAPE_TARGET_MS, HELP_TARGET_MS = 50.0, 200.0
_PEERS = ("mlserver", "evidently", "seldon-core")
_OURS = "serving-sidecar"
_STARTS, _SCRAPES = 21, 50


_ALONE = (
    "Each installed alone on Python {python}, without pip and without bytecode: the sidecar by its lock, the others by"
    " `pip install NAME`. They do other things besides; this is what they bring into an image, and what somebody has to"
    " keep an eye on."
)
_OWN = (
    "What is the product's own idea is not here. Where a library fits it does its part: aiohttp, pydantic, msgspec,"
    " SQLAlchemy, Alembic, Jinja, rich, click, PyJWT, prometheus-client, onnxruntime, numpy, scipy."
)
_WHERE = "Python {python}, not compiled. Load of the machine meanwhile {load:.1f} on {cores} cores."


@dataclass(frozen=True, slots=True)
class Size:
    """What an installation brings: packages besides itself, and MiB on disk; `version` of the product."""

    name: str
    version: str
    dependencies: int
    mebibytes: float


class CannotInstall(Exception):
    """A product does not install here. The message is for people."""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.footprint")
    parser.add_argument("--times", action="store_true", help="measure times only; sizes stay as they are")
    given = parser.parse_args()
    if not given.times:
        sizes = [_ours(), *(_peer(name) for name in _PEERS)]
        kept = {"python": platform.python_version(), "sizes": [asdict(size) for size in sizes]}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    DOCUMENT.write_text(text(kept, help_ms(), scrape_ms()), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
    return 0


def text(kept: Mapping[str, object], help_times: list[float], scrapes: list[float]) -> str:
    """The document."""
    found = kept["sizes"]
    sizes = [Size(**each) for each in found] if isinstance(found, list) else []
    lines = [
        "# Footprint",
        "",
        "Written by `python -m bench.footprint`; run it again rather than edit this.",
        "",
        "## What an installation brings",
        "",
        _ALONE.format(python=kept["python"]),
        "",
        "| product | version | packages it brings | MiB |",
        "|---|---|---|---|",
        *(f"| {size.name} | {size.version} | {size.dependencies} | {size.mebibytes:.0f} |" for size in sizes),
        "",
        "## How quickly it answers people",
        "",
        _WHERE.format(python=platform.python_version(), load=os.getloadavg()[0], cores=os.cpu_count()),
        "",
        "| what | median | least | 95 % below | target |  |",
        "|---|---|---|---|---|---|",
        _row("`sidecar --help`, a new process: CPU time", help_times, HELP_TARGET_MS),
        _row(f"`GET /metrics` with {FEATURES} features exported, after live traffic", scrapes, SCRAPE_TARGET_MS),
        "",
        "## Code that a library could stand in for",
        "",
        _OWN,
        "",
        *table(),
        "",
    ]
    return "\n".join(lines)


def _row(what: str, times_ms: list[float], target_ms: float) -> str:
    median, high = statistics.median(times_ms), statistics.quantiles(times_ms, n=20)[-1]
    says = "met" if median <= target_ms else "missed"
    return f"| {what} | {median:.0f} ms | {min(times_ms):.0f} ms | {high:.0f} ms | ≤ {target_ms:.0f} ms | {says} |"


def help_ms() -> list[float]:
    """How much CPU time `sidecar --help` takes, bytecode and files warm as after a first call."""
    command = [sys.executable, "-m", "sidecar.cli", "--help"]
    times = []
    for _ in range(_STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
    return times[1:]


def scrape_ms() -> list[float]:
    """How long a page of metrics takes on a kept connection."""
    with wide_sidecar() as admin:
        connection = http.client.HTTPConnection(admin, timeout=60)

        def scrape() -> None:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            page = answer.read()
            if answer.status != 200 or page.count(b'feature="x') < FEATURES:
                raise CannotInstall("the page has not every feature")

        scrape()
        times = []
        for _ in range(_SCRAPES):
            time.sleep(0.2)
            times.append(_timed_ms(scrape))
        return times


def _timed_ms(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1e3


def _ours() -> Size:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        lock = ROOT / "locks" / "core.txt"
        return _installed(_OURS, ["--require-hashes", "-r", str(lock)], ["--no-deps", *map(str, wheels.glob("*.whl"))])


def _peer(name: str) -> Size:
    return _installed(name, [name])


def _installed(name: str, *wanted: list[str]) -> Size:
    """Installs into a new environment, and looks at what lies there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        inside = f"{folder}/bin/python"
        pip = [sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", "--no-compile"]
        uv = shutil.which("uv")  # the same files in a fraction of the time
        install = pip if uv is None else [uv, "pip", "install", "--quiet", "--python", inside]
        for words in wanted:
            done = subprocess.run([*install, *words], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotInstall(f"{name} does not install: {done.stderr[-1_000:]}")
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        found = sorted(entry.name for entry in packages.glob("*.dist-info"))
        plain = name.replace("-", "_")
        own = next(entry for entry in found if entry.lower().startswith(f"{plain}-"))
        used = sum(entry.lstat().st_size for entry in packages.rglob("*") if not entry.is_dir())
        version = own.removesuffix(".dist-info").rpartition("-")[2]
        print(f"{name} {version}: {len(found) - 1} packages, {used / 2**20:.0f} MiB", flush=True)
        return Size(name, version, len(found) - 1, used / 2**20)


if __name__ == "__main__":
    sys.exit(main())
