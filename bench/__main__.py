"""`python -m bench`: the sidecar's data plane beside nginx and Envoy, its baselines beside whylogs, in one run.

Exit code 0 when it was measured, whatever the figures say; 2 when it could not be: a program is missing, one core only.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from bench import build, chart, lone_worker, profilers, programs, report
from bench.report import Machine
from bench.result import Result
from bench.rows import (
    aborts,
    alias_move,
    baseline_build,
    control_faults,
    cost,
    idle_clients,
    large_bodies,
    latency,
    registry_reads,
    sick_challenger,
    stale_champion,
    transitions,
    watched,
)
from bench.stand import UNABLE, Stand, standing
from bench.traffic import CHALLENGER, CHAMPION

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = "performance.md", "performance.svg"
ROWS: dict[str, Callable[[Stand], Result]] = {
    "cost": cost.measure,
    "watched": watched.measure,
    "latency": latency.measure,
    "sick": sick_challenger.measure,
    "bodies": large_bodies.measure,
    "idle": idle_clients.measure,
    "control": control_faults.measure,
    "transitions": transitions.measure,
    "stale": stale_champion.measure,
    "aborts": aborts.measure,
    "baseline": baseline_build.measure,
    "registry": registry_reads.measure,
    "alias": alias_move.measure,
}
PROGRAMS = (*programs.PACKAGES, programs.ENVOY)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one contender's run in a round")
    parser.add_argument("--full", action="store_true", help="ten minutes for the row `stale`")
    parser.add_argument("--python", metavar="PATH", help="the interpreter for the sidecar; else this one")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{PAGE} and docs/{PICTURE}")
    parser.add_argument(
        "--install",
        action=argparse.BooleanOptionalAction,
        default=os.geteuid() == 0,
        help="install what is missing: apt-get as root, Envoy into an environment of the bench's own",
    )
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))  # so that everything that was started is stopped
    try:
        programs.require(install=given.install, programs=PROGRAMS)
        if "baseline" in (given.only or ROWS):
            profilers.require(install=given.install)
        _bench(given)
    except UNABLE as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _bench(given: argparse.Namespace) -> None:
    if hint := build.hint(given.python):
        _tell(hint)
    ships, pure = build.builds(given.python)
    began_s = monotonic()
    results = []
    with standing(ships, pure, rounds=given.rounds, seconds=given.seconds, full=given.full, tell=_tell) as stand:
        sidecar = _sidecar(stand)
        _tell(f"the sidecar: {sidecar}")
        for name in given.only or ROWS:
            _tell(f"\n{name}, {(monotonic() - began_s) / 60:.1f} minutes in")
            results.append(ROWS[name](stand))
            _tell(report.markdown(report.targets_table(results[-1].findings)))
    machine = Machine(
        processor=f"{_processor()}, {platform.system()} {platform.release()}",
        versions=f"{_nginx_version()}, {_envoy_version()}",
        sidecar=sidecar,
        rounds=given.rounds,
        seconds=given.seconds,
        minutes=(monotonic() - began_s) / 60,
    )
    text = report.whole(machine, results)
    print(f"\n{text}")
    if given.write_docs:
        (DOCS / PICTURE).write_text(chart.draw([panel for result in results for panel in result.panels]))
        (DOCS / PAGE).write_text(report.document(text, PICTURE))


def _sidecar(stand: Stand) -> str:
    """Interpreter and kind, as a worker that runs shows them."""
    with (
        stand.backend(CHAMPION) as champion,
        stand.backend(CHALLENGER) as challenger,
        lone_worker.running(stand.new("worker"), stand.table(champion, challenger), stand.core, stand.build) as worker,
    ):
        return build.described(stand.build, worker.pid)


def _tell(line: str) -> None:
    print(line, flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _nginx_version() -> str:
    told = subprocess.run([programs.path_of("nginx"), "-v"], capture_output=True, text=True, check=False)
    return told.stderr.strip().removeprefix("nginx version: ")


def _envoy_version() -> str:
    told = subprocess.run([programs.path_of("envoy"), "--version"], capture_output=True, text=True, check=False)
    # envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
    parts = told.stdout.strip().partition("version:")[2].strip().split("/")
    return f"envoy/{parts[1]}" if len(parts) > 1 else "Envoy"


if __name__ == "__main__":
    sys.exit(main())
