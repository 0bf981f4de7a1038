"""One managed model server: `sidecar serve-model` as the supervisor starts it, `python -m sidecar.app.model`.

Keeps: the model, which may be anybody's, is read and run with bounds on memory, computing time to load, and files;
a model that will not do is one sentence, `fault …` on standard output and on standard error. Says `ready` once it
answers. Ends by SIGTERM, or when its supervisor is gone. Serves on a Unix socket only, so no port is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
from pathlib import Path

import uvloop

from sidecar.app.stopping import stop_when_told
from sidecar.model_server import ModelServerError, OnnxModel, serving
from sidecar.telemetry.logs import configure

# Besides what the libraries themselves take: what a model of no size may need, and how often one of some size is held
# (the file, its parsed form, the initializers, their packed form) with room for what an inference makes of it.
LEAST_MEMORY_BYTES = 2 << 30
TIMES_ITS_FILE = 6
# To read and optimise the graph: a file of few bytes may ask for any amount of it.
LOAD_CPU_S = 120
DESCRIPTORS = 16_384


def limit_memory(file_bytes: int) -> None:
    """Bounds this process' address space by what it has now and what a model of this size may need."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    now = pages * resource.getpagesize()
    _lower(resource.RLIMIT_AS, now + LEAST_MEMORY_BYTES + TIMES_ITS_FILE * file_bytes)


def limit_rest() -> None:
    """Bounds open files, and lets no crash write what callers sent into a file."""
    _lower(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _lower(resource.RLIMIT_CORE, 0)


class LoadTime:
    """The computing time that a model may take to load; beyond it the kernel ends the process (SIGXCPU)."""

    def __enter__(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._before = resource.getrlimit(resource.RLIMIT_CPU)
        until = int(used.ru_utime + used.ru_stime) + LOAD_CPU_S
        hard = self._before[1]
        resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, self._before)


def _lower(what: int, to: int) -> None:
    """Never above what this process was given."""
    given = resource.getrlimit(what)[1]
    bound = to if given == resource.RLIM_INFINITY else min(to, given)
    resource.setrlimit(what, (bound, bound))


async def serve(model: OnnxModel, socket: str) -> None:
    """Answers until told to stop. Raises ModelServerError."""
    stopping = asyncio.Event()
    stop_when_told(asyncio.get_running_loop(), stopping)
    async with serving(model, f"unix:{socket}"):
        print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
        await stopping.wait()


def main() -> int:
    """The process. 2 with one sentence when it cannot serve this model."""
    # They reach the whole group; the supervisor hears them, and until the loop runs nobody else would.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.model")
    for name in ("--name", "--version", "--socket"):
        parser.add_argument(name, required=True)
    parser.add_argument("--file", type=Path, required=True)
    given = parser.parse_args()
    configure("model")
    try:
        limit_memory(given.file.stat().st_size)
        limit_rest()
        with LoadTime():
            model = OnnxModel(given.file, given.name, given.version)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(model, given.socket))
    except (ModelServerError, OSError) as error:
        says = " ".join(str(error).replace(str(given.file), "its file").split())
        print(f"fault {says}", flush=True)  # noqa: T201
        print(f"sidecar: model {given.name} {given.version}: {says}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
