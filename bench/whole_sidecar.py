"""A whole sidecar by `sidecar run`, as anybody would start it: supervisor, one worker, control with a baseline.

Three paths lead through its worker: to a deployment with a challenger, to one without, and to no deployment at all.
Pinned like every peer: the worker has the measured core, supervisor and control are on the other with the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import process
from bench.traffic import CHALLENGER, CHAMPION, MODEL
from sidecar.demo.stage import fill_registry

SHADOWED = f"/v2/models/{MODEL}/infer"
ALONE = "/v2/models/alone/infer"
FORWARDED = "/v2/models/forwarded/infer"

START_S = 60.0
# Control is at rest when it uses less than this share of a core; the counters come once a second.
_REST_SHARE, _LOOK_S, _REST_S = 0.15, 0.5, 90.0
_COUNTS_S = 1.2


class SidecarFailed(Exception):
    """The sidecar did not start, or one of its processes died under load."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One that runs. Process ids by role: supervisor, worker, control."""

    url: str
    admin_port: int
    state_dir: Path
    pids: dict[str, int]

    def check(self) -> None:
        """Raises SidecarFailed if a process was replaced since the start."""
        try:
            alive = set(process.children(self.pids["supervisor"]))
        except process.Gone as gone:
            raise SidecarFailed(str(gone)) from gone
        if died := [role for role, pid in self.pids.items() if role != "supervisor" and pid not in alive]:
            raise SidecarFailed(f"the {died[0]} died under load")

    def rest(self) -> None:
        """Waits, at most a minute and a half, until control has worked off what it was offered and all is counted."""
        sleep(_COUNTS_S)
        deadline = monotonic() + _REST_S
        pid, used_s = self.pids["control"], 1.0
        while used_s > _REST_SHARE * _LOOK_S and monotonic() < deadline:
            before = process.cpu_s(pid)
            sleep(_LOOK_S)
            used_s = process.cpu_s(pid) - before

    def dropped(self) -> dict[str, int]:
        """What its metrics count as dropped so far: `capture/REASON` and `copy/REASON`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30) as answer:
                page = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            raise SidecarFailed(f"the metrics cannot be read: {error}") from error
        kinds = {"sidecar_capture_dropped_total": "capture", "sidecar_shadow_dropped_total": "copy"}
        counts: dict[str, int] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name in kinds:
                    key = f"{kinds[sample.name]}/{sample.labels['reason']}"
                    counts[key] = counts.get(key, 0) + int(sample.value)
        return counts


def write_configuration(folder: Path, ports: dict[str, int], *, champion: int, challenger: int) -> Path:
    """The configuration: two deployments on the demo's registry and one upstream, everything else at its default."""
    versions = folder / "registry" / MODEL / "versions"
    serving = {"version": CHAMPION, "url": f"http://127.0.0.1:{champion}"}
    settings = {
        "listen": f"127.0.0.1:{ports['data']}",
        "state_dir": str(folder / "state"),
        "upstream": f"http://127.0.0.1:{champion}",
        "admin": {"listen": f"127.0.0.1:{ports['admin']}"},
        "registry": {"uri": f"file:{folder / 'registry'}"},
        "deployments": [
            {
                "name": MODEL,
                "champion": serving,
                "challengers": [{"version": CHALLENGER, "url": f"http://127.0.0.1:{challenger}"}],
                "baseline": "registry",
            },
            {"name": "alone", "champion": serving, "baseline": str(versions / CHAMPION / "baseline.json")},
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


@contextlib.contextmanager
def running(
    folder: Path, ports: dict[str, int], *, champion: int, challenger: int, core: int, load_core: int
) -> Iterator[Sidecar]:
    """A sidecar before two model servers while the context lasts."""
    folder.mkdir()
    asyncio.run(fill_registry(folder / "registry"))
    config = write_configuration(folder, ports, champion=champion, challenger=challenger)
    log = folder / "log"
    with log.open("wb") as file:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "sidecar.cli", "run", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    try:
        process.pin(supervisor.pid, load_core)
        if not await_line(supervisor, b"serving on", START_S):
            raise SidecarFailed(f"sidecar run did not start: {log.read_text(errors='replace').strip()[-300:]}")
        pids = {"supervisor": supervisor.pid}
        for pid, command in process.children(supervisor.pid).items():
            pids["worker" if "sidecar.app.worker" in command else "control"] = pid
        for role, pid in pids.items():
            process.pin(pid, core if role == "worker" else load_core)
        sidecar = Sidecar(f"http://127.0.0.1:{ports['data']}", ports["admin"], folder / "state", pids)
        sidecar.rest()
        yield sidecar
    finally:
        process.stop(supervisor)


def await_line(child: subprocess.Popen[bytes], wanted: bytes, within_s: float) -> bool:
    """Whether a child process says `wanted` on its standard output in time."""
    if child.stdout is None:
        return False
    said = b""
    deadline = monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while wanted not in said:
            if not selector.select(max(0.0, deadline - monotonic())):
                return False
            part = os.read(child.stdout.fileno(), 4096)
            if not part:
                return False
            said += part
    return True
