"""`python -m bench.soak`: minutes of load through a whole sidecar with a healthy challenger; does anything grow?

Looks at resident memory and open files of supervisor, worker and control every ten seconds. Exit code 0 if all stay
flat and every request was answered, 1 if not, 2 if it could not be run. Paced, so that control sees every exchange.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from bench import load, nginx, process, programs, traffic, whole_sidecar
from bench.stand import UNABLE, cores
from bench.trend import MIB, Sample, trend
from bench.whole_sidecar import SHADOWED, Sidecar


class Watch:
    """The samples of all processes."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = monotonic()
        self.samples: dict[str, list[Sample]] = {role: [] for role in pids}

    def look(self) -> None:
        """One more sample of each; tells them."""
        at_s = monotonic() - self._began
        words = []
        for role, pid in self._pids.items():
            sample = Sample(at_s, process.resident_bytes(pid), process.open_files(pid))
            self.samples[role].append(sample)
            words.append(f"{role} {sample.resident_bytes / MIB:.1f} MiB {sample.open_files} files")
        print(f"{at_s:6.0f} s  {', '.join(words)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second, about")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--install", action="store_true", help="apt-get install what is missing (as root)")
    given = parser.parse_args(arguments)
    if given.minutes <= 0 or given.rate <= 0 or given.every <= 0:
        parser.error("--minutes, --rate and --every are above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is stopped
    try:
        programs.require(install=given.install)
        return _soak(max(1, round(given.minutes * 60)), given.rate, given.every)
    except UNABLE as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _soak(seconds: int, rate_per_s: float, every_s: float) -> int:
    core, load_core = cores()
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {load_core})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-soak-")))
        champion, challenger, data, admin = nginx.free_ports(4)
        for name, port, version in (
            ("champion", champion, traffic.CHAMPION),
            ("challenger", challenger, traffic.CHALLENGER),
        ):
            server = nginx.backend(port, traffic.answer(version))
            stack.enter_context(nginx.running(folder / name, [server], [port], load_core))
        sidecar = stack.enter_context(
            whole_sidecar.running(
                folder / "sidecar",
                {"data": data, "admin": admin},
                champion=champion,
                challenger=challenger,
                core=core,
                load_core=load_core,
            )
        )
        script = load.write_script(folder / "requests.lua", traffic.bodies(), rate_per_s)
        load.run(f"{sidecar.url}{SHADOWED}", script, 1)  # connections and first buffers are no growth
        watch = Watch(sidecar.pids)
        watch.look()
        result = load.run(f"{sidecar.url}{SHADOWED}", script, seconds, watch.look, every_s)
        watch.look()
        sidecar.rest()
        sidecar.check()
        return _judge(watch, result, sidecar)


def _judge(watch: Watch, result: load.Load, sidecar: Sidecar) -> int:
    dropped = {reason: count for reason, count in sidecar.dropped().items() if count}
    kept = sum(file.stat().st_size for file in sidecar.state_dir.rglob("*") if file.is_file())
    print(f"\n{result.requests} requests, {result.requests / result.seconds:.0f} a second, {result.errors} failed;")
    print(f"p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms; dropped: {dropped or 'nothing'};")
    print(f"state on disk: {kept / MIB:.1f} MiB\n")
    print("| process | memory first, last, most (MiB) | slope (KiB/min) | memory | files first, last | files |")
    print("|---|---|---|---|---|---|")
    flat = result.errors == 0
    for role, samples in watch.samples.items():
        seen = trend(samples)
        flat = flat and seen.memory_flat and seen.files_flat
        memory = ", ".join(f"{size / MIB:.1f}" for size in (seen.first_bytes, seen.last_bytes, seen.most_bytes))
        print(
            f"| {role} | {memory} | {seen.bytes_per_minute / 1024:+.0f} | {_verdict(seen.memory_flat)} "
            f"| {seen.first_files}, {seen.last_files} | {_verdict(seen.files_flat)} |"
        )
    print(f"\nverdict: {'flat' if flat else 'not flat'}")
    return 0 if flat else 1


def _verdict(flat: bool) -> str:
    return "flat" if flat else "GROWS"


if __name__ == "__main__":
    sys.exit(main())
