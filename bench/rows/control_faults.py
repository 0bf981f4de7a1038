"""Requests while control is killed, stopped, or cannot write its state: none may fail, none may wait for it.

A whole sidecar under the open loop. The disk is a small file system in memory that is filled to the last byte, which
takes root: without, that fault is left out and the reason told.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, sleep

from bench import child, open_loop, process, small_disk, traffic, whole_sidecar
from bench.open_loop import Generator, Latencies
from bench.result import Finding, Result, Table
from bench.rows.latency import RATE_PER_S
from bench.spread import difference, spread
from bench.stand import Stand
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import SHADOWED, START_S, Sidecar

BEFORE, KILLED, STOPPED, FULL = "before", "control killed", "control stopped", "disk full"
FAULTS = (KILLED, STOPPED, FULL)
_AT_S = 0.7  # after the generator's start and warm-up
LIMIT_MS, LIMIT_SHARE = 1.0, 0.05


def measure(stand: Stand) -> Result:
    """The row."""
    found: dict[str, list[Latencies]] = {}
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        state_dir = stand.new("state")
        state_dir.mkdir()
        why_no_disk = stack.enter_context(small_disk.mounted(state_dir))
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
                state_dir=state_dir,
                background=True,
            )
        )
        bodies = open_loop.write_bodies(stand.new("bodies"), traffic.bodies())
        faults: dict[str, Callable[[Sidecar], contextlib.AbstractContextManager[None]]] = {
            BEFORE: lambda _: contextlib.nullcontext(),
            KILLED: _killed,
            STOPPED: _stopped,
        }
        if not why_no_disk:
            faults[FULL] = _full
        for _ in range(stand.rounds):
            for name, fault in faults.items():
                generator = Generator(sidecar.url + SHADOWED, bodies, RATE_PER_S, stand.seconds)
                try:
                    sleep(_AT_S)
                    with fault(sidecar):
                        found.setdefault(name, []).append(generator.result())
                finally:
                    generator.stop()
                one = found[name][-1]
                stand.tell(f"{name:<16} {one.failed} failed, p50 {one.p50_ms:.3f} ms, p99 {one.p99_ms:.3f} ms")
                _await_control(sidecar)
    return judged(found, why_no_disk)


@contextlib.contextmanager
def _killed(sidecar: Sidecar) -> Iterator[None]:
    """Once; the supervisor starts it again meanwhile."""
    os.kill(_control(sidecar), signal.SIGKILL)
    yield


@contextlib.contextmanager
def _stopped(sidecar: Sidecar) -> Iterator[None]:
    pid = _control(sidecar)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _full(sidecar: Sidecar) -> Iterator[None]:
    with small_disk.filled(sidecar.state_dir):
        yield


def _control(sidecar: Sidecar) -> int:
    """Control's process now: another one after it was killed."""
    deadline = monotonic() + START_S
    while monotonic() < deadline:
        for pid, command in process.children(sidecar.pids["supervisor"]).items():
            if "sidecar.app.control" in command:
                return pid
        sleep(0.1)
    raise whole_sidecar.SidecarFailed("control was not started again")


def _await_control(sidecar: Sidecar) -> None:
    """Waits until control serves and rests: a fault begins with everything in order."""
    sidecar.pids["control"] = _control(sidecar)
    deadline = monotonic() + START_S
    while True:
        try:
            sidecar.dropped()
            break
        except whole_sidecar.SidecarFailed:
            if monotonic() > deadline:
                raise
            sleep(0.2)
            sidecar.pids["control"] = _control(sidecar)
    sidecar.rest()
    sidecar.check()


def judged(found: Mapping[str, Sequence[Latencies]], why_no_disk: str) -> Result:
    """No failed request, and p99 within 5 % or 1 ms of before, in the same round. Pure."""
    before = [one.p99_ms for one in found[BEFORE]]
    allowed_ms = max(LIMIT_MS, LIMIT_SHARE * spread(before).median)
    findings = []
    for fault in FAULTS:
        own = found.get(fault)
        findings += [
            Finding(
                measure=f"{fault}: failed requests",
                reached=spread([one.failed for one in own]) if own else None,
                limit=0,
                unit="",
                digits=0,
                skipped=why_no_disk,
            ),
            Finding(
                measure=f"{fault}: p99 above before",
                reached=difference([one.p99_ms for one in own], before) if own else None,
                limit=allowed_ms,
                unit=" ms",
                skipped=why_no_disk,
            ),
        ]
    rows = [
        (
            name,
            str(sum(one.due for one in all_)),
            str(sum(one.failed for one in all_)),
            *(spread([getattr(one, field) for one in all_]).shown(3) for field in ("p50_ms", "p99_ms", "most_ms")),
        )
        for name, all_ in found.items()
    ]
    return Result(
        title="Control in trouble",
        findings=findings,
        tables=[Table(("while", "requests", "failed", "p50, ms", "p99, ms", "most, ms"), rows)],
        note=(
            f"Open loop, {RATE_PER_S:,.0f} requests/s, shadow on. The fault comes after the warm-up and lasts to the "
            f"run's end; a control that was killed is started again meanwhile. Control has the load's core "
            "only when that is idle (SCHED_IDLE): its start would slow the load, which is not what is measured."
        ),
    )
