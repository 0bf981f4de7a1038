"""Throughput and memory with a challenger that is stuck, resets, drips or is down; for the sidecar and its peers.

Each run has a proxy of its own, fresh, so that none inherits an open breaker or a swollen heap. The sidecar is loaded
twice: from its first contact with the sick challenger, and again when its breaker has had time to open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import msgspec

from bench import child, load, lone_worker, odd_server, peers, process, traffic
from bench.interleaving import turned
from bench.meter import Meter, Used
from bench.peers import ENVOY_MIRROR, ENVOY_PLAIN, ENVOY_RAISED, NGINX_MIRROR, NGINX_PLAIN
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, ratio, spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import ALONE, SHADOWED

SIDECAR = "sidecar"
NONE, HEALTHY = "no shadow", "healthy"
STUCK, RESET, DRIP, DOWN = "stuck", "reset", "drip", "down"
SICK = (STUCK, RESET, DRIP, DOWN)
# Stuck copies end by the challenger's timeout of 5 s, the breaker opens then, and probes again 5 s later.
_OPENS_AFTER_S = {STUCK: 6.5, DRIP: 6.5, RESET: 0.5, DOWN: 0.5}
AFTER_S = 10.0
# Peers are here to be compared with, not judged: one round suffices, and the run is long.
_PEER_ROUNDS = 1
MIB = 1 << 20
MOST_GROWTH_MIB, FLOOR_MIB = 32.0, 8.0


class Sick(msgspec.Struct, frozen=True):
    """One run, from the first contact with the challenger, and for the sidecar once more with its breaker open.

    Attributes:
        cpu_us: microseconds of CPU per request, from the first contact.
        most_mib: growth of resident memory above what it was after a warm-up without copies.
        after_mib: growth that is left 10 s after, where that was waited for.
    """

    contender: str
    challenger: str
    requests_per_s: float
    cpu_us: float
    errors: int
    most_mib: float
    elsewhere: float
    opened_per_s: float | None = None
    opened_cpu_us: float | None = None
    after_mib: float | None = None


class _Case(NamedTuple):
    contender: str
    challenger: str


class _Proxy(NamedTuple):
    """A running one: where it copies, where it does not, its process."""

    copied: str
    alone: str
    pid: int


def measure(stand: Stand) -> Result:
    """The row."""
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        healthy = stack.enter_context(stand.backend(CHALLENGER))
        *odd, down = child.free_ports(4)
        ports = dict(zip((STUCK, RESET, DRIP), odd, strict=True))
        stack.enter_context(odd_server.running(stand.new("odd"), ports, stand.load_core))
        ports |= {DOWN: down, HEALTHY: healthy, NONE: healthy}
        script = load.write_script(stand.new("requests"), traffic.bodies())
        ours = [_Case(SIDECAR, challenger) for challenger in (NONE, HEALTHY, *SICK)]
        theirs = [_Case(NGINX_PLAIN, NONE), _Case(ENVOY_PLAIN, NONE)]
        for peer in (NGINX_MIRROR, ENVOY_MIRROR):
            theirs += [_Case(peer, challenger) for challenger in (HEALTHY, *SICK)]
        theirs += [_Case(ENVOY_RAISED, challenger) for challenger in (HEALTHY, STUCK, DRIP)]
        runs = []
        for number in range(stand.rounds):
            last = number == stand.rounds - 1
            cases = ours + theirs if number >= stand.rounds - _PEER_ROUNDS else ours
            for case in turned(cases, number):
                start = partial(_started, stand, case, champion, ports[case.challenger])
                runs.append(_run(stand, case, start, script, wait=last))
                stand.tell(_told(runs[-1]))
    return judged(runs)


@contextlib.contextmanager
def _started(stand: Stand, case: _Case, champion: int, challenger: int) -> Iterator[_Proxy]:
    if case.contender == SIDECAR:
        table = stand.table(champion, challenger)
        with lone_worker.running(stand.new("worker"), table, stand.core, stand.build) as worker:
            shadowed = ALONE if case.challenger == NONE else SHADOWED
            yield _Proxy(worker.url + shadowed, worker.url + ALONE, worker.pid)
    else:
        with peers.running(stand, case.contender, champion, challenger, patience_s=0.0) as (url, pid):
            yield _Proxy(url + SHADOWED, "", pid)


def _run(
    stand: Stand,
    case: _Case,
    start: Callable[[], contextlib.AbstractContextManager[_Proxy]],
    script: Path,
    *,
    wait: bool,
) -> Sick:
    with start() as proxy:
        if proxy.alone:
            load.run(proxy.alone, script, 1)
        floor = most = process.resident_bytes(proxy.pid)

        def look() -> None:
            nonlocal most
            most = max(most, process.resident_bytes(proxy.pid))

        meter, began_s = Meter(proxy.pid, stand.core), monotonic()
        first = load.run(proxy.copied, script, stand.seconds, look, 0.2)
        used = meter.read()
        look()
        opened: load.Load | None = None
        opened_cpu_us: float | None = None
        if case.contender == SIDECAR and case.challenger in SICK:
            sleep(max(0.0, began_s + _OPENS_AFTER_S[case.challenger] - monotonic()))
            meter = Meter(proxy.pid, stand.core)
            opened = load.run(proxy.copied, script, stand.seconds, look, 0.2)
            opened_cpu_us = _per_request_us(meter.read(), opened)
        after: float | None = None
        if wait and case.challenger in (SICK if case.contender == SIDECAR else (STUCK, DRIP)):
            sleep(AFTER_S)
            after = (process.resident_bytes(proxy.pid) - floor) / MIB
    return Sick(
        contender=case.contender,
        challenger=case.challenger,
        requests_per_s=first.requests / first.seconds,
        cpu_us=_per_request_us(used, first),
        errors=first.errors + (opened.errors if opened is not None else 0),
        most_mib=(most - floor) / MIB,
        elsewhere=used.elsewhere,
        opened_per_s=opened.requests / opened.seconds if opened is not None else None,
        opened_cpu_us=opened_cpu_us,
        after_mib=after,
    )


def _per_request_us(used: Used, done: load.Load) -> float:
    return used.cpu_s / max(1, done.requests) * 1e6


def _told(run: Sick) -> str:
    opened = ""
    if run.opened_per_s is not None and run.opened_cpu_us is not None:
        opened = f", breaker open {run.opened_per_s:.0f}/s {run.opened_cpu_us:.0f} µs"
    after = "" if run.after_mib is None else f", {run.after_mib:+.1f} MiB after {AFTER_S:.0f} s"
    return (
        f"{run.contender:<28} {run.challenger:<10} {run.requests_per_s:8.0f}/s {run.cpu_us:.0f} µs{opened}, "
        f"{run.errors} errors, {run.most_mib:+.1f} MiB{after}"
    )


def judged(runs: Sequence[Sick]) -> Result:
    """Runs in whole rounds, against the targets. Pure."""
    mine = {challenger: [run for run in runs if _is(run, SIDECAR, challenger)] for challenger in (NONE, HEALTHY, *SICK)}
    healthy = [run.requests_per_s for run in mine[HEALTHY]]
    alone = [run.requests_per_s for run in mine[NONE]]
    findings = []
    for challenger in SICK:
        own = mine[challenger]
        measured = f"throughput, challenger {challenger}"
        findings += [
            Finding(
                measure=measured,
                against="healthy challenger",
                reached=ratio([run.requests_per_s for run in own], healthy),
                limit=0.97,
                at_least=True,
            ),
            Finding(
                measure=f"{measured}, breaker open",
                against="no shadow",
                reached=ratio([run.opened_per_s or 0.0 for run in own], alone),
                limit=0.9,
                at_least=True,
            ),
            Finding(
                measure=f"memory growth, challenger {challenger}",
                reached=spread([run.most_mib for run in own]),
                limit=MOST_GROWTH_MIB,
                unit=" MiB",
                digits=1,
            ),
            Finding(
                measure=f"memory growth {AFTER_S:.0f} s after, challenger {challenger}",
                reached=_after(own),
                limit=FLOOR_MIB,
                unit=" MiB",
                digits=1,
            ),
        ]
    return Result(
        title="With a sick challenger",
        findings=findings,
        tables=[_table(runs)],
        panels=[_panel(runs)],
        note=(
            "`stuck` accepts and never answers, `drip` answers a byte a second, `reset` resets the connection, `down` "
            "is not there. Each run has a fresh process. Memory is resident memory above what it was before the first "
            f"copy (for the sidecar: after a second of load without copies); back to the floor means within "
            f"{FLOOR_MIB:g} MiB, {AFTER_S:.0f} s after the load, which is what allocators keep for the next time. "
            "`breaker open` is measured once copies had time to time out."
        ),
        elsewhere=[run.elsewhere for run in runs],
    )


def _is(run: Sick, contender: str, challenger: str) -> bool:
    return run.contender == contender and run.challenger == challenger


def _after(runs: Sequence[Sick]) -> Spread | None:
    left = [run.after_mib for run in runs if run.after_mib is not None]
    return spread(left) if left else None


def _cases(runs: Sequence[Sick]) -> Mapping[tuple[str, str], list[Sick]]:
    found: dict[tuple[str, str], list[Sick]] = {}
    for run in runs:
        found.setdefault((run.contender, run.challenger), []).append(run)
    order = {name: place for place, name in enumerate((NONE, HEALTHY, *SICK))}
    # The sidecar first, then peers as they are called, each from no shadow to the sickest.
    return dict(sorted(found.items(), key=lambda item: (item[0][0] != SIDECAR, item[0][0], order[item[0][1]])))


def _table(runs: Sequence[Sick]) -> Table:
    rows = []
    for (contender, challenger), own in _cases(runs).items():
        opened = [run.opened_per_s for run in own if run.opened_per_s is not None]
        opened_cpu_us = [run.opened_cpu_us for run in own if run.opened_cpu_us is not None]
        after = _after(own)
        rows.append(
            (
                contender,
                challenger,
                spread([run.requests_per_s for run in own]).shown(0),
                spread([run.cpu_us for run in own]).shown(0),
                spread(opened).shown(0) if opened else "–",
                spread(opened_cpu_us).shown(0) if opened_cpu_us else "–",
                spread([run.most_mib for run in own]).shown(1),
                after.shown(1) if after is not None else "–",
                str(sum(run.errors for run in own)),
            )
        )
    columns = ("proxy", "challenger", "requests/s", "CPU, µs", "breaker open, requests/s", "breaker open, CPU, µs")
    return Table((*columns, "memory growth, MiB", f"{AFTER_S:.0f} s after, MiB", "failed"), rows)


def _panel(runs: Sequence[Sick]) -> Panel:
    bars = [
        Bar(f"{contender}: {challenger}", spread([run.requests_per_s for run in own]), contender == SIDECAR)
        for (contender, challenger), own in _cases(runs).items()
    ]
    return Panel("Throughput with a challenger that is …, requests/s (more is better)", bars, 0)
