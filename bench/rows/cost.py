"""CPU of the proxy per request: (user + system time of its process over the run) / requests, under wrk's full load.

With the shadow on, capture on; without shadow; forwarding alone; as it ships and in pure Python; and once more with
heads that never repeat. Throughput is told, too, but misleads: load, model servers and control share the other core.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import sleep

import msgspec

from bench import child, load, lone_worker, nginx, peers, process, traffic, whole_sidecar
from bench.interleaving import interleaved
from bench.meter import Meter
from bench.peers import ENVOY_MIRROR, ENVOY_PLAIN, MIRRORS, NGINX_KEPT, NGINX_MIRROR, NGINX_PLAIN
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import ratio, spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import ALONE, COUNTS_S, FORWARDED, SHADOWED, Sidecar

WARM_UP_S = 1
MIB = 1 << 20
READER, CONTROL = "sidecar, shadow, reader", "sidecar, shadow, control"
READER_ALONE, CONTROL_ALONE = "sidecar, no shadow, reader", "sidecar, no shadow, control"
FORWARD = "sidecar, no deployment"
PURE, PURE_ALONE = "sidecar in pure Python, shadow, reader", "sidecar in pure Python, no shadow, reader"
OWN_IDS = ", own ids"

_SHADOW_LIMITS = {NGINX_MIRROR: 0.75, NGINX_KEPT: 1.1, ENVOY_MIRROR: 0.6}
_PLAIN_LIMITS = {NGINX_PLAIN: 2.0, ENVOY_PLAIN: 0.75}
LIMITS: Mapping[str, Mapping[str, float]] = {
    READER: _SHADOW_LIMITS,
    CONTROL: _SHADOW_LIMITS,
    READER + OWN_IDS: {peer + OWN_IDS: limit for peer, limit in _SHADOW_LIMITS.items()},
    READER_ALONE: _PLAIN_LIMITS,
    CONTROL_ALONE: _PLAIN_LIMITS,
    FORWARD: _PLAIN_LIMITS,
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to serve the same requests. `dropped` tells what was dropped so far once `rest` was waited for."""

    name: str
    url: str
    pid: int
    script: Path
    dropped: Callable[[], dict[str, int]] = dict
    rest: Callable[[], None] = lambda: None


class Run(msgspec.Struct, frozen=True):
    """One contender in one round.

    Attributes:
        cpu_us: microseconds of CPU per request.
        copies: requests that the challenger got, per request; `new_connections` likewise.
        dropped: `capture/REASON` or `copy/REASON` -> how many in this run and its warm-up, of `offered` requests.
        elsewhere: share of the measured core that other processes took.
    """

    contender: str
    cpu_us: float
    requests: int
    requests_per_s: float
    errors: int
    copies: float
    new_connections: float
    dropped: dict[str, int]
    offered: int
    elsewhere: float


def measure(stand: Stand) -> Result:
    """The row."""
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        data, admin = child.free_ports(2)
        sidecar = stack.enter_context(
            whole_sidecar.running(
                stand.new("sidecar"),
                {"data": data, "admin": admin},
                champion=champion,
                challenger=challenger,
                core=stand.core,
                load_core=stand.load_core,
                build=stand.build,
            )
        )
        contenders = list(stack.enter_context(_standing(stand, sidecar, champion, challenger)))
        idle = {role: process.resident_bytes(pid) for role, pid in sidecar.pids.items()}
        most = dict(idle)

        def look() -> None:
            for role, pid in sidecar.pids.items():
                most[role] = max(most[role], process.resident_bytes(pid))

        runs = []
        for contender in interleaved(contenders, stand.rounds):
            runs.append(_run(stand, contender, sidecar, challenger, look))
            stand.tell(_told(runs[-1]))
        memory = Table(
            ("resident memory, MiB", "before load", "most under load"),
            [(role, f"{idle[role] / MIB:.1f}", f"{most[role] / MIB:.1f}") for role in idle],
        )
        return judged(runs, memory)


@contextlib.contextmanager
def _standing(stand: Stand, sidecar: Sidecar, champion: int, challenger: int) -> Iterator[Sequence[Contender]]:
    """All contenders, up for the whole row; those that are not under load sleep."""
    fixed = load.write_script(stand.new("requests"), traffic.bodies())
    own_ids = load.write_script(stand.new("requests"), traffic.bodies(), own_ids=True)
    found: list[Contender] = []
    with contextlib.ExitStack() as stack:
        for name in (NGINX_PLAIN, ENVOY_PLAIN, *MIRRORS):
            url, pid = stack.enter_context(peers.running(stand, name, champion, challenger))
            found.append(Contender(name, url + SHADOWED, pid, fixed))
            if name in MIRRORS:
                found.append(Contender(name + OWN_IDS, url + SHADOWED, pid, own_ids))
        table = stand.table(champion, challenger)
        lone = stack.enter_context(lone_worker.running(stand.new("worker"), table, stand.core, stand.build))
        worker = sidecar.pids["worker"]
        found += [
            Contender(READER, lone.url + SHADOWED, lone.pid, fixed, lone.dropped, _counted),
            Contender(READER + OWN_IDS, lone.url + SHADOWED, lone.pid, own_ids, lone.dropped, _counted),
            Contender(READER_ALONE, lone.url + ALONE, lone.pid, fixed, lone.dropped, _counted),
            Contender(CONTROL, sidecar.url + SHADOWED, worker, fixed, sidecar.dropped, sidecar.rest),
            Contender(CONTROL_ALONE, sidecar.url + ALONE, worker, fixed, sidecar.dropped, sidecar.rest),
            Contender(FORWARD, lone.url + FORWARDED, lone.pid, fixed),
        ]
        if stand.pure is not None:
            pure = stack.enter_context(lone_worker.running(stand.new("worker"), table, stand.core, stand.pure))
            found.append(Contender(PURE, pure.url + SHADOWED, pure.pid, fixed, pure.dropped, _counted))
            found.append(Contender(PURE_ALONE, pure.url + ALONE, pure.pid, fixed, pure.dropped, _counted))
        yield found


def _run(stand: Stand, contender: Contender, sidecar: Sidecar, challenger: int, look: Callable[[], None]) -> Run:
    dropped = contender.dropped()
    warm_up = load.run(contender.url, contender.script, WARM_UP_S)
    connections, served = nginx.served(challenger)
    meter = Meter(contender.pid, stand.core)
    result = load.run(contender.url, contender.script, stand.seconds, look)
    used = meter.read()
    sleep(0.3)  # the last copies
    connections_after, served_after = nginx.served(challenger)
    contender.rest()
    sidecar.check()
    requests = max(1, result.requests)
    counts = {reason: count - dropped.get(reason, 0) for reason, count in contender.dropped().items()}
    return Run(
        contender=contender.name,
        cpu_us=used.cpu_s / requests * 1e6,
        requests=result.requests,
        requests_per_s=result.requests / result.seconds,
        errors=result.errors,
        # Less the requests for the figures themselves.
        copies=(served_after - served - 1) / requests,
        new_connections=(connections_after - connections - 1) / requests,
        dropped={reason: count for reason, count in counts.items() if count},
        offered=requests + warm_up.requests,
        elsewhere=used.elsewhere,
    )


def _counted() -> None:
    """Waits until a worker's counters, sent each second, have come."""
    sleep(COUNTS_S)


def _told(run: Run) -> str:
    dropped = ", ".join(f"{reason} {count}" for reason, count in run.dropped.items())
    figures = f"{run.cpu_us:7.1f} µs {run.requests_per_s:8.0f}/s  others {run.elsewhere:4.0%}"
    return f"{run.contender:<42} {figures}  {dropped}"


def judged(runs: Sequence[Run], memory: Table) -> Result:
    """Runs in whole rounds, against the targets. Pure."""
    cpu: dict[str, list[float]] = {}
    for run in runs:
        cpu.setdefault(run.contender, []).append(run.cpu_us)
    findings = [
        Finding(measure=f"CPU per request, {name}", against=peer, reached=ratio(cpu[name], cpu[peer]), limit=limit)
        for name, limits in LIMITS.items()
        for peer, limit in limits.items()
    ]
    bars = [Bar(name, spread(values), name.startswith("sidecar")) for name, values in cpu.items()]
    errors = sum(run.errors for run in runs)
    requests = sum(run.requests for run in runs)
    return Result(
        title="CPU per request",
        findings=findings,
        tables=[_table(runs, cpu), memory],
        panels=[Panel("CPU of the proxy per request, µs (less is better)", bars)],
        note=(
            f"wrk, one thread, {load.CONNECTIONS} kept connections, V2 requests of "
            f"{mean(len(body) for body in traffic.bodies()):.0f} bytes as fast as they are answered. {requests:,} "
            f"requests, {errors} failed. `control` is a whole `sidecar run`, its control process on the load's core, "
            "folding what it can; exchanges above that are dropped and counted, and a dropped one costs the worker "
            "less. `reader` is the same worker with a reader in control's place that takes every exchange and forgets "
            "it. `no shadow` still captures; `no deployment` only forwards. `own ids`: every request has an "
            "x-request-id and a traceparent of its own, so that no head comes twice and nothing can be kept from an "
            "earlier one. `kept alive` is nginx with `proxy_store` to a file in memory; on a disk it costs several "
            "times as much."
        ),
        elsewhere=[run.elsewhere for run in runs],
    )


def _table(runs: Sequence[Run], cpu: Mapping[str, Sequence[float]]) -> Table:
    rows = []
    for name, values in cpu.items():
        own = [run for run in runs if run.contender == name]
        offered = max(1, sum(run.offered for run in own))
        captures = sum(n for run in own for reason, n in run.dropped.items() if reason.startswith("capture/"))
        copies = sum(n for run in own for reason, n in run.dropped.items() if reason.startswith("copy/"))
        delivered = median(run.copies for run in own)
        mirrors = delivered > 0.01
        rows.append(
            (
                name,
                spread(values).shown(1),
                f"{median(run.requests_per_s for run in own):,.0f}",
                f"{min(1.0, delivered):.1%}" if mirrors else "–",
                f"{max(0.0, median(run.new_connections for run in own)):.2f}" if mirrors else "–",
                f"{captures / offered:.1%}" if name.startswith("sidecar") and name != FORWARD else "–",
                str(copies) if name.startswith("sidecar") and mirrors else "–",
            )
        )
    columns = ("contender", "CPU per request, µs", "requests/s", "copies delivered")
    return Table((*columns, "new connections per copy", "captures dropped", "copies dropped"), rows)
