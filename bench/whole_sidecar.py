"""A whole sidecar by `sidecar run`, as anybody would start it: supervisor, one worker, control with a baseline.

Three paths lead through its worker: to a deployment with a challenger, to one without, and to no deployment at all.
Pinned like every peer: the worker has the measured core, supervisor and control are on the other with the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import child, process
from bench.build import ROOT, Build
from bench.tables import ALONE as ALONE_NAME
from bench.tables import path_of
from bench.traffic import CHALLENGER, CHAMPION, MODEL
from sidecar.demo.stage import fill_registry

SHADOWED, ALONE, FORWARDED = path_of(MODEL), path_of(ALONE_NAME), path_of("forwarded")

START_S = 60.0
# Control is at rest when it uses less than this share of a core; the counters come once a second.
_REST_SHARE, _LOOK_S, _REST_S = 0.15, 0.5, 90.0
COUNTS_S = 1.2
_ROWS = "sidecar_rows_sampled_total"


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
        sleep(COUNTS_S)
        deadline = monotonic() + _REST_S
        pid, used_s = self.pids["control"], 1.0
        while used_s > _REST_SHARE * _LOOK_S and monotonic() < deadline:
            before = process.cpu_s(pid)
            sleep(_LOOK_S)
            used_s = process.cpu_s(pid) - before

    def dropped(self) -> dict[str, int]:
        """What its metrics count as dropped so far: `capture/REASON` and `copy/REASON`."""
        kinds = {"sidecar_capture_dropped_total": "capture", "sidecar_shadow_dropped_total": "copy"}
        counts: dict[str, int] = {}
        for name, labels, value in self._metrics():
            if name in kinds:
                key = f"{kinds[name]}/{labels['reason']}"
                counts[key] = counts.get(key, 0) + int(value)
        return counts

    def rows_sampled(self, deployment: str) -> int:
        """Feature rows that control has counted so far."""
        found = [v for n, labels, v in self._metrics() if (n, labels.get("deployment")) == (_ROWS, deployment)]
        return int(sum(found))

    def _metrics(self) -> Iterator[tuple[str, dict[str, str], float]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30) as answer:
                page = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            raise SidecarFailed(f"the metrics cannot be read: {error}") from error
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value


def write_configuration(
    folder: Path,
    state_dir: Path,
    ports: dict[str, int],
    *,
    champion: int,
    challenger: int,
    further: Sequence[Mapping[str, object]] = (),
) -> Path:
    """The configuration: two deployments on the demo's registry and one upstream, everything else at its default.

    `further` deployments have that upstream as their champion.
    """
    versions = folder / "registry" / MODEL / "versions"
    serving = {"version": CHAMPION, "url": f"http://127.0.0.1:{champion}"}
    settings = {
        "listen": f"127.0.0.1:{ports['data']}",
        "state_dir": str(state_dir),
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
            {"name": ALONE_NAME, "champion": serving, "baseline": str(versions / CHAMPION / "baseline.json")},
            *({"champion": serving, **one} for one in further),
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


@contextlib.contextmanager
def running(
    folder: Path,
    ports: dict[str, int],
    *,
    champion: int,
    challenger: int,
    core: int,
    load_core: int,
    build: Build | None = None,
    state_dir: Path | None = None,
    background: bool = False,
    further: Sequence[Mapping[str, object]] = (),
) -> Iterator[Sidecar]:
    """A sidecar before two model servers while the context lasts.

    In the `background` supervisor and control run only when the core that they share with load and model servers has
    nothing else to do: for who measures the worker's latency, and not that core's.
    """
    folder.mkdir()
    asyncio.run(fill_registry(folder / "registry"))
    state_dir = state_dir or folder / "state"
    build = build or Build(sys.executable, str(ROOT))
    config = write_configuration(folder, state_dir, ports, champion=champion, challenger=challenger, further=further)
    log = folder / "log"
    with log.open("wb") as file, process.on_core(load_core):
        supervisor = subprocess.Popen(
            build.command("sidecar.cli", "run", "-c", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=build.environment(),
            cwd=folder,
        )
    try:
        if not child.await_line(supervisor, b"serving on", START_S):
            raise SidecarFailed(f"sidecar run did not start: {child.said(log)}")
        pids = {"supervisor": supervisor.pid}
        for pid, command in process.children(supervisor.pid).items():
            pids["worker" if "sidecar.app.worker" in command else "control"] = pid
        process.pin(pids["worker"], core)
        if background:
            for role in ("supervisor", "control"):
                process.put_behind(pids[role])
        sidecar = Sidecar(f"http://127.0.0.1:{ports['data']}", ports["admin"], state_dir, pids)
        sidecar.rest()
        yield sidecar
    finally:
        process.stop(supervisor)
