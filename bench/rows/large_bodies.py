"""Requests of 256 KiB with the shadow on: throughput beside nginx's and Envoy's mirrors. Load by h2load."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from bench import child, h2load, lone_worker, nginx, peers, traffic
from bench.interleaving import interleaved
from bench.meter import Meter
from bench.peers import MIRRORS, NGINX_KEPT, NGINX_MIRROR
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import ratio, spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import SHADOWED

BODY_BYTES = 262_144
SIDECAR = "sidecar, shadow, reader"


class Run(msgspec.Struct, frozen=True):
    """One contender in one round. `copies` per request of the champion; `busy`: share of its core that it used."""

    requests_per_s: float
    cpu_us: float
    busy: float
    copies: float
    failed: int
    elsewhere: float


def measure(stand: Stand) -> Result:
    """The row."""
    with contextlib.ExitStack() as stack:
        ports = child.free_ports(2)
        for port, version in zip(ports, (CHAMPION, CHALLENGER), strict=True):
            folder = stand.new("backend", in_memory=True)
            server = nginx.reading_backend(port, traffic.answer(version), folder / "inner.sock")
            stack.enter_context(nginx.running(folder, [server], [port], stand.load_core))
        contenders: dict[str, tuple[str, int]] = {}
        for name in MIRRORS:
            contenders[name] = stack.enter_context(peers.running(stand, name, *ports))
        lone = stack.enter_context(
            lone_worker.running(stand.new("worker"), stand.table(*ports), stand.core, stand.build)
        )
        contenders[SIDECAR] = lone.url, lone.pid
        body = stand.new("body", in_memory=True)
        body.write_bytes(traffic.large_body(BODY_BYTES))
        found: dict[str, list[Run]] = {name: [] for name in contenders}
        for name in interleaved(tuple(contenders), stand.rounds):
            url, pid = contenders[name]
            served = [nginx.served(port)[1] for port in ports]
            meter = Meter(pid, stand.core)
            result = h2load.run(url + SHADOWED, body, stand.seconds)
            used = meter.read()
            # Less the request for the figure itself; each of the others is served twice, by the outer and inner server.
            champions, copies = (
                (nginx.served(port)[1] - before - 1) / 2 for port, before in zip(ports, served, strict=True)
            )
            run = Run(
                requests_per_s=result.requests_per_s,
                cpu_us=used.cpu_s / max(1.0, champions) * 1e6,
                busy=used.cpu_s / (stand.seconds + 1),
                copies=copies / max(1.0, champions),
                failed=result.failed,
                elsewhere=used.elsewhere,
            )
            found[name].append(run)
            stand.tell(
                f"{name:<30} {run.requests_per_s:7.0f}/s  {run.cpu_us:7.1f} µs  busy {run.busy:4.0%}  "
                f"copies {run.copies:4.0%}  failed {run.failed}"
            )
    return judged(found)


def judged(found: Mapping[str, Sequence[Run]]) -> Result:
    """Against the targets. Pure."""
    rates = {name: [run.requests_per_s for run in runs] for name, runs in found.items()}
    findings = [
        Finding(
            measure="throughput with bodies of 256 KiB",
            against=peer,
            reached=ratio(rates[SIDECAR], rates[peer]),
            limit=0.8,
            at_least=True,
        )
        for peer in (NGINX_MIRROR, NGINX_KEPT)
    ]
    rows = [
        (
            name,
            spread(rates[name]).shown(0),
            spread([run.cpu_us for run in runs]).shown(0),
            spread([run.busy for run in runs]).shown(2),
            f"{min(1.0, spread([run.copies for run in runs]).median):.1%}",
            str(sum(run.failed for run in runs)),
        )
        for name, runs in found.items()
    ]
    columns = ("contender", "requests/s", "CPU per request, µs", "share of its core", "copies delivered", "failed")
    bars = [Bar(name, spread(values), name == SIDECAR) for name, values in rates.items()]
    return Result(
        title="Large bodies",
        findings=findings,
        tables=[Table(columns, rows)],
        panels=[Panel("Throughput with bodies of 256 KiB, shadow on, requests/s (more is better)", bars, 0)],
        note=(
            f"h2load over HTTP/1.1, {h2load.CONNECTIONS} kept connections. Load and both model servers share a core: "
            "where a contender's share of its own is well below 1, that other core is what limits it, and CPU per "
            "request tells more than throughput. nginx as documented writes such bodies to files (here in memory), "
            "the tuned one holds them in memory."
        ),
        elsewhere=[run.elsewhere for runs in found.values() for run in runs],
    )
