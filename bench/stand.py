"""Everything that is compared, standing: two model servers, nginx three ways, a whole sidecar, a worker of its own.

All of it stays up for the whole run; only one contender at a time is under load, the others sleep.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import load, lone_worker, nginx, process, programs, traffic, whole_sidecar
from bench.whole_sidecar import ALONE, FORWARDED, SHADOWED, Sidecar

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  where nginx may store answers without a disk


class TooFewCores(Exception):
    """The bench needs one core for what it measures and another for all the rest."""


# Whatever keeps a bench from being run, each with a message for people.
UNABLE = (
    TooFewCores,
    programs.Missing,
    process.Gone,
    nginx.DidNotStart,
    load.LoadFailed,
    whole_sidecar.SidecarFailed,
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to serve the same requests.

    Attributes:
        name: as the tables call it.
        url: what to load.
        pid: the process whose CPU counts.
        copies: whether each request is due to be copied to the challenger.
        dropped: tells what was dropped so far, for those that capture.
    """

    name: str
    url: str
    pid: int
    copies: bool
    dropped: Callable[[], dict[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """What stands. `script` is wrk's, `challenger_port` of the backend that copies go to, `core` the measured one."""

    contenders: tuple[Contender, ...]
    sidecar: Sidecar
    script: Path
    challenger_port: int
    core: int


NGINX_PLAIN = "nginx, no mirror"
NGINX_MIRROR = "nginx mirror, as documented"
NGINX_KEPT = "nginx mirror, kept alive"
WORKER_READER = "sidecar, shadow, reader"
SIDECAR_SHADOW = "sidecar, shadow, control"
SIDECAR_ALONE = "sidecar, no shadow, control"
SIDECAR_FORWARD = "sidecar, no deployment"


def cores() -> tuple[int, int]:
    """The core for what is measured, and the core for everything else."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise TooFewCores("the bench needs two cores")
    return mine[0], mine[1]


@contextlib.contextmanager
def standing() -> Iterator[Stand]:
    """All of it, while the context lasts. The bench itself goes to the load's core, and its children with it."""
    core, load_core = cores()
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {load_core})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-bench-")))
        memory = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-bench-", dir=memory)))
        champion, challenger, data, admin, *peers = nginx.free_ports(7)
        for name, port, version in (
            ("champion", champion, traffic.CHAMPION),
            ("challenger", challenger, traffic.CHALLENGER),
        ):
            server = nginx.backend(port, traffic.answer(version))
            stack.enter_context(nginx.running(folder / name, [server], [port], load_core))
        upstreams = [nginx.upstream("champion", champion), nginx.upstream("challenger", challenger)]
        # One process for each, so that none carries connections of another.
        variants = {
            NGINX_PLAIN: nginx.plain(peers[0]),
            NGINX_MIRROR: nginx.mirroring(peers[1], None),
            NGINX_KEPT: nginx.mirroring(peers[2], store),
        }
        contenders = []
        for port, (name, server) in zip(peers, variants.items(), strict=True):
            pid = stack.enter_context(nginx.running(store / f"nginx-{port}", [*upstreams, server], [port], core))
            contenders.append(Contender(name, f"http://127.0.0.1:{port}{SHADOWED}", pid, name != NGINX_PLAIN))
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
        table = sidecar.state_dir / "routing.msgpack"
        lone = stack.enter_context(lone_worker.running(folder / "worker", table, core))
        worker = sidecar.pids["worker"]
        contenders += [
            Contender(WORKER_READER, f"{lone.url}{SHADOWED}", lone.pid, copies=True, dropped=lone.dropped),
            Contender(SIDECAR_SHADOW, f"{sidecar.url}{SHADOWED}", worker, copies=True, dropped=sidecar.dropped),
            Contender(SIDECAR_ALONE, f"{sidecar.url}{ALONE}", worker, copies=False, dropped=sidecar.dropped),
            Contender(SIDECAR_FORWARD, f"{sidecar.url}{FORWARDED}", worker, copies=False),
        ]
        script = load.write_script(folder / "requests.lua", traffic.bodies())
        yield Stand(tuple(contenders), sidecar, script, challenger, core)
