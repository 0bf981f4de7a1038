"""`python -m bench.soak`: an hour of load through a whole sidecar while everything around it misbehaves; does it grow?

Load is wrk's, paced, so that control sees every exchange; the churn is `bench.churn`. At the end of each cycle, in a
calm, memory, open files and threads of supervisor, worker and control are looked at. A control that was killed begins
another life; its last and longest one is judged. Exit code 0 if all stay flat, every request was answered and nothing
is held at the end, 1 if not, 2 if it could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep

from prometheus_client.parser import text_string_to_metric_families

from bench import child, load, nginx, process, programs, traffic, whole_sidecar
from bench.build import builds, described
from bench.churn import Churn
from bench.stand import UNABLE, cores
from bench.trend import MIB, Sample, trend
from bench.whole_sidecar import SHADOWED, Sidecar, SidecarFailed
from tests.chaos.scripted_backend import Stage

STEP_S = 2.0
REST_S = 30.0
# What must be 0 when the load is over.
HELD = ("sidecar_inflight_requests", "sidecar_connections", "sidecar_held_bytes")


class Watch:
    """The samples of all processes, by role; those of control for each of its lives."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._began = monotonic()
        self._pids = dict(sidecar.pids)
        self.lives: dict[str, list[list[Sample]]] = {role: [[]] for role in sidecar.pids}

    @property
    def control(self) -> int:
        """The control process of this moment."""
        return self._pids["control"]

    def look(self) -> None:
        """One more sample of each; tells them. Raises SidecarFailed if a worker was replaced."""
        self._find()
        at_s = monotonic() - self._began
        words = []
        for role, pid in self._pids.items():
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
            sample = Sample(at_s, process.resident_bytes(pid), process.open_files(pid), threads)
            self.lives[role][-1].append(sample)
            words.append(f"{role} {sample.resident_bytes / MIB:.1f} MiB {sample.open_files} files")
        print(f"{at_s:6.0f} s  {', '.join(words)}", flush=True)

    def _find(self) -> None:
        found = process.children(self._sidecar.pids["supervisor"])
        if self._pids["worker"] not in found:
            raise SidecarFailed("the worker died under load")
        controls = [pid for pid, command in found.items() if "sidecar.app.control" in command]
        if controls and controls[0] != self.control:
            self._pids["control"] = controls[0]
            self.lives["control"].append([])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second, about")
    parser.add_argument("--install", action="store_true", help="apt-get install what is missing (as root)")
    given = parser.parse_args(arguments)
    if given.minutes <= 0 or given.rate <= 0:
        parser.error("--minutes and --rate are above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is stopped
    try:
        programs.require(install=given.install, programs=programs.SOAK)
        return _soak(max(1, round(given.minutes * 60)), given.rate)
    except UNABLE as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _soak(seconds: int, rate_per_s: float) -> int:
    core, load_core = cores()
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {load_core})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-soak-")))
        champion, data, admin = child.free_ports(3)
        server = nginx.backend(champion, traffic.answer(traffic.CHAMPION))
        stack.enter_context(nginx.running(folder / "champion", [server], [champion], load_core))
        stage = Stage()
        stack.callback(stage.close)
        ports = {"data": data, "admin": admin}
        build, _pure = builds(None)
        running = whole_sidecar.running(
            folder / "sidecar",
            ports,
            champion=champion,
            challenger=champion,
            core=core,
            load_core=load_core,
            build=build,
        )
        sidecar = stack.enter_context(running)
        print(f"the sidecar: {described(build, sidecar.pids['worker'])}", flush=True)
        script = load.write_script(folder / "requests.lua", traffic.bodies(), rate_per_s)
        load.run(f"{sidecar.url}{SHADOWED}", script, 1)  # connections and first buffers are no growth
        watch = Watch(sidecar)
        churn = Churn(
            stage,
            folder / "sidecar" / "config.yaml",
            sidecar.url,
            SHADOWED,
            supervisor=sidecar.pids["supervisor"],
            control=lambda: watch.control,
        )
        churn.begin()
        result = load.run(f"{sidecar.url}{SHADOWED}", script, seconds, _steps(churn, watch, seconds), STEP_S)
        watch.look()
        return _judge(watch, churn, result, sidecar)


def _steps(churn: Churn, watch: Watch, seconds: int) -> Callable[[], None]:
    began = monotonic()

    def step() -> None:
        if churn.step((monotonic() - began) / seconds):
            watch.look()

    return step


def _held(sidecar: Sidecar) -> dict[str, float]:
    """What is still held once the load is over; waits until nothing is, or for half a minute."""
    deadline, held = monotonic() + REST_S, {"unknown": 1.0}
    while held and monotonic() < deadline:
        sleep(whole_sidecar.COUNTS_S)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{sidecar.admin_port}/metrics", timeout=30) as answer:
                page = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            raise SidecarFailed(f"the metrics cannot be read: {error}") from error
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        held = {sample.name: sample.value for sample in samples if sample.name in HELD and sample.value}
    return held


def _judge(watch: Watch, churn: Churn, result: load.Load, sidecar: Sidecar) -> int:
    held = _held(sidecar)
    dropped = {reason: count for reason, count in sidecar.dropped().items() if count}
    kept = sum(file.stat().st_size for file in sidecar.state_dir.rglob("*") if file.is_file())
    print(f"\n{result.requests} requests, {result.requests / result.seconds:.0f} a second, {result.errors} failed;")
    print(f"p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms; churn: {churn.done};")
    print(f"dropped: {dropped or 'nothing'}; held at the end: {held or 'nothing'};")
    print(f"state on disk: {kept / MIB:.1f} MiB\n")
    print(
        "| process | memory first, last, most (MiB) | slope (KiB/min) | memory | files first, last | files | threads |"
    )
    print("|---|---|---|---|---|---|---|")
    flat = result.errors == 0 and not held
    for role, lives in watch.lives.items():
        seen = trend(max(lives, key=len))
        flat = flat and seen.flat
        memory = ", ".join(f"{size / MIB:.1f}" for size in (seen.first_bytes, seen.last_bytes, seen.most_bytes))
        print(
            f"| {role} | {memory} | {seen.bytes_per_minute / 1024:+.0f} | {_verdict(seen.memory_flat)} "
            f"| {seen.first_files}, {seen.last_files} | {_verdict(seen.files_flat)} "
            f"| {seen.first_threads}, {seen.last_threads} {_verdict(seen.threads_flat)} |"
        )
    print(f"\nverdict: {'flat' if flat else 'not flat'}")
    return 0 if flat else 1


def _verdict(flat: bool) -> str:
    return "flat" if flat else "GROWS"


if __name__ == "__main__":
    sys.exit(main())
