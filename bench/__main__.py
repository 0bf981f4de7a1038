"""`python -m bench`: what a request costs the sidecar's worker, beside nginx with and without `mirror`.

Exit code 0 when it was measured, whatever the figures say; 2 when it could not be: a program is missing, one core only.
"""

from __future__ import annotations

import argparse
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from bench import chart, programs, report, traffic
from bench.figures import figures, ratios, spread
from bench.measure import Memory, Run, measure
from bench.report import Machine
from bench.stand import UNABLE, standing

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = "performance.md", "performance.svg"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of one contender's run in a round")
    parser.add_argument("--write-docs", action="store_true", help=f"write docs/{PAGE} and docs/{PICTURE}")
    parser.add_argument("--install", action="store_true", help="apt-get install what is missing (as root)")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is stopped
    try:
        programs.require(install=given.install)
        _bench(given.rounds, given.seconds, write_docs=given.write_docs)
    except UNABLE as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _bench(rounds: int, seconds: int, *, write_docs: bool) -> None:
    print("starting model servers, nginx, a worker and a whole sidecar …", flush=True)
    with standing() as stand:
        memory = Memory(stand.sidecar.pids)
        runs = measure(stand, rounds, seconds, memory, _tell)
    capturing = frozenset(contender.name for contender in stand.contenders if contender.dropped is not None)
    summed = figures(runs, capturing)
    machine = Machine(
        processor=f"{_processor()}, {platform.system()} {platform.release()}",
        versions=f"Python {platform.python_version()}, {_nginx_version()}",
        rounds=rounds,
        seconds=seconds,
        body_bytes=round(mean(len(body) for body in traffic.bodies())),
        elsewhere=spread([run.elsewhere for run in runs]),
    )
    text = report.whole(machine, summed, ratios(runs), memory.idle, memory.most)
    print(f"\n{text}")
    if write_docs:
        (DOCS / PICTURE).write_text(chart.draw(summed))
        (DOCS / PAGE).write_text(report.document(text, PICTURE))


def _tell(run: Run) -> None:
    dropped = ", ".join(f"{reason} {count}" for reason, count in run.dropped.items())
    print(
        f"{run.contender:<30} {run.cpu_us:7.1f} µs {run.requests_per_s:8.0f}/s  others {run.elsewhere:4.0%}  {dropped}",
        flush=True,
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _nginx_version() -> str:
    told = subprocess.run([programs.path_of("nginx"), "-v"], capture_output=True, text=True, check=False)
    return told.stderr.strip().removeprefix("nginx version: ")


if __name__ == "__main__":
    sys.exit(main())
