"""Latency that the proxy adds at 1,000 requests a second in an open loop, shadow on.

Added = the percentile through the proxy less the same percentile straight to the model server, in the same round.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from bench import child, lone_worker, open_loop, peers, traffic, whole_sidecar
from bench.interleaving import interleaved
from bench.open_loop import Latencies
from bench.peers import MIRRORS, NGINX_KEPT, NGINX_MIRROR, NGINX_PLAIN
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import difference, ratio, spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import ALONE, SHADOWED

RATE_PER_S = 1000.0
DIRECT = "no proxy"
READER, CONTROL, READER_ALONE = "sidecar, shadow, reader", "sidecar, shadow, control", "sidecar, no shadow, reader"
_LIMITS = {"p50": 1.0, "p99": 1.5}
# Below this a figure is the machine's noise, and no ratio to it means anything.
_LEAST_MS = 0.02


def measure(stand: Stand) -> Result:
    """The row."""
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        urls = {DIRECT: f"http://127.0.0.1:{champion}{SHADOWED}"}
        for name in (NGINX_PLAIN, *MIRRORS):
            url, _ = stack.enter_context(peers.running(stand, name, champion, challenger))
            urls[name] = url + SHADOWED
        table = stand.table(champion, challenger)
        lone = stack.enter_context(lone_worker.running(stand.new("worker"), table, stand.core, stand.build))
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
                background=True,
            )
        )
        urls |= {READER: lone.url + SHADOWED, READER_ALONE: lone.url + ALONE, CONTROL: sidecar.url + SHADOWED}
        bodies = open_loop.write_bodies(stand.new("bodies"), traffic.bodies())
        found: dict[str, list[Latencies]] = {name: [] for name in urls}
        for name in interleaved(tuple(urls), stand.rounds):
            one = open_loop.run(urls[name], bodies, RATE_PER_S, stand.seconds)
            found[name].append(one)
            stand.tell(
                f"{name:<30} p50 {one.p50_ms:6.3f} ms  p99 {one.p99_ms:7.3f} ms  most {one.most_ms:7.2f} ms  "
                f"failed {one.failed}  sent late, p99 {one.late_p99_ms:.3f} ms"
            )
        sidecar.check()
    return judged(found)


def judged(found: Mapping[str, Sequence[Latencies]]) -> Result:
    """Added latencies, round by round, against the targets. Pure."""
    findings = []
    panels = []
    for quantile, limit in _LIMITS.items():
        at = {name: [one.p50_ms if quantile == "p50" else one.p99_ms for one in all_] for name, all_ in found.items()}
        added = {
            name: [max(_LEAST_MS, through - straight) for through, straight in zip(values, at[DIRECT], strict=True)]
            for name, values in at.items()
            if name != DIRECT
        }
        findings += [
            Finding(
                measure=f"added latency {quantile}, {name}",
                against=peer,
                reached=ratio(added[name], added[peer]),
                limit=limit,
            )
            for name in (READER, CONTROL)
            for peer in (NGINX_MIRROR, NGINX_KEPT)
        ]
        bars = [
            Bar(name, difference(values, at[DIRECT]), name.startswith("sidecar"))
            for name, values in at.items()
            if name != DIRECT
        ]
        panels.append(Panel(f"Added latency, {quantile}, ms at {RATE_PER_S:,.0f} requests/s (less is better)", bars, 3))
    return Result(
        title="Added latency",
        findings=findings,
        tables=[_table(found)],
        panels=panels,
        note=(
            f"Open loop: {RATE_PER_S:,.0f} requests/s at random moments (a Poisson process, the same for all), each "
            "latency from the moment when the request was due. Added: less the same percentile without a proxy in the "
            f"same round. Control runs only when load and model servers leave their core idle (SCHED_IDLE): the "
            "worker is measured, not that core. `sent late` is the generator's own lateness, part of every latency."
        ),
    )


def _table(found: Mapping[str, Sequence[Latencies]]) -> Table:
    rows = []
    for name, all_ in found.items():
        straight = found[DIRECT]
        added = (
            difference([one.p50_ms for one in all_], [one.p50_ms for one in straight]).shown(3),
            difference([one.p99_ms for one in all_], [one.p99_ms for one in straight]).shown(3),
        )
        rows.append(
            (
                name,
                spread([one.p50_ms for one in all_]).shown(3),
                spread([one.p99_ms for one in all_]).shown(3),
                *(added if name != DIRECT else ("–", "–")),
                spread([one.late_p99_ms for one in all_]).shown(3),
                str(sum(one.failed for one in all_)),
            )
        )
    return Table(("through", "p50, ms", "p99, ms", "added p50", "added p99", "sent late, p99", "failed"), rows)
