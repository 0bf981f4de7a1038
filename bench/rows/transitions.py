"""How long a promotion and a rollback take, from the call to the last worker that routes by it, and who notices.

A whole sidecar under the open loop. The answer to the call comes after every worker has acknowledged the new table.
In trouble the registry is gone and the disk that holds the state is full to the last byte: rollbacks go on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter, sleep

import msgspec

from bench import child, open_loop, small_disk, traffic, whole_sidecar
from bench.open_loop import Generator, percentile
from bench.result import Finding, Result, Table
from bench.spread import spread
from bench.stand import Stand
from bench.tables import path_of
from bench.traffic import CHALLENGER, CHAMPION
from bench.whole_sidecar import Sidecar, SidecarFailed

RATE_PER_S, CALLS, LIMIT_MS = 2_000.0, 60, 100.0
NAME = "moved"
BEFORE, PROMOTED, BACK = "nobody calls", "promote", "roll back"
TROUBLE = "roll back, registry gone and disk full"
_AT_S, _PAUSE_S = 0.7, 0.3  # what one transition leaves to be told is over before the next
_OTHER = {CHAMPION: CHALLENGER, CHALLENGER: CHAMPION}
_GATES = (
    "duration", "completeness", "errors", "latency", "pairs", "agreement", "prediction", "outcome", "inputs",
    "lineage",
)  # fmt: skip


class Moves(msgspec.Struct, frozen=True):
    """Milliseconds of each call, and requests that failed and that were due meanwhile."""

    calls_ms: list[float]
    failed: int
    due: int


def measure(stand: Stand) -> Result:
    """The row."""
    found: dict[str, list[Moves]] = {}
    with contextlib.ExitStack() as stack:
        champion = stack.enter_context(stand.backend(CHAMPION))
        challenger = stack.enter_context(stand.backend(CHALLENGER))
        state_dir = stand.new("state")
        state_dir.mkdir()
        why_no_disk = stack.enter_context(small_disk.mounted(state_dir))
        data, admin = child.free_ports(2)
        folder = stand.new("sidecar")
        moved = {
            "name": NAME,
            "challengers": [{"version": CHALLENGER, "url": f"http://127.0.0.1:{challenger}"}],
            "gates": dict.fromkeys(_GATES, False),
        }
        sidecar = stack.enter_context(
            whole_sidecar.running(
                folder,
                {"data": data, "admin": admin},
                champion=champion,
                challenger=challenger,
                core=stand.core,
                load_core=stand.load_core,
                build=stand.build,
                state_dir=state_dir,
                further=[moved],
            )
        )
        # As where nobody pins anything: the load's core has the generator and both model servers already.
        for thread in Path(f"/proc/{sidecar.pids['control']}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {stand.core, stand.load_core})
        bodies = open_loop.write_bodies(stand.new("bodies"), traffic.bodies())
        for _ in range(stand.rounds):
            for name in (BEFORE, PROMOTED, BACK, TROUBLE):
                if name == TROUBLE and why_no_disk:
                    continue
                seconds = CALLS * (_PAUSE_S + LIMIT_MS / 1e3) + 2 * _AT_S
                with _trouble(folder, state_dir) if name == TROUBLE else contextlib.nullcontext():
                    generator = Generator(sidecar.url + path_of(NAME), bodies, RATE_PER_S, seconds)
                    try:
                        sleep(_AT_S)
                        calls_ms = [] if name == BEFORE else _called(sidecar, name)
                        one = generator.result()
                    finally:
                        generator.stop()
                found.setdefault(name, []).append(Moves(calls_ms, one.failed, one.due))
                slowest_ms = max(calls_ms, default=0.0)
                stand.tell(f"{name:<40} slowest {slowest_ms:.1f} ms, {one.failed} of {one.due} failed")
    return judged(found, why_no_disk)


@contextlib.contextmanager
def _trouble(folder: Path, state_dir: Path) -> Iterator[None]:
    registry = folder / "registry"
    away = registry.rename(folder / "registry-away")
    try:
        with small_disk.filled(state_dir):
            yield
    finally:
        away.rename(registry)


def _called(sidecar: Sidecar, name: str) -> list[float]:
    """Milliseconds of each call, back and forth between the two versions."""
    found = []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", sidecar.admin_port, timeout=30)) as admin:
        serves = str(_asked(admin, "GET", f"/v1/deployments/{NAME}", None)["champion"]["version"])
        for _ in range(CALLS):
            key, verb = ("challenger", "promote") if name == PROMOTED else ("to", "rollback")
            serves = _OTHER[serves]
            began = perf_counter()
            _asked(admin, "POST", f"/v1/deployments/{NAME}/{verb}", {key: serves, "reason": "it is measured"})
            found.append((perf_counter() - began) * 1e3)
            sleep(_PAUSE_S)
    return found


def _asked(
    admin: http.client.HTTPConnection, method: str, path: str, body: Mapping[str, str] | None
) -> dict[str, dict[str, str]]:
    admin.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json"})
    answer = admin.getresponse()
    document: dict[str, dict[str, str]] = json.loads(answer.read())
    if answer.status != 200:
        raise SidecarFailed(f"{method} {path} was answered with {answer.status}: {document}")
    return document


def judged(found: Mapping[str, Sequence[Moves]], why_no_disk: str) -> Result:
    """p99 of the calls within 100 ms and no failed request. Pure."""
    findings = []
    rows = []
    for name in (PROMOTED, BACK, TROUBLE):
        own = found.get(name)
        p99_ms = spread([percentile(sorted(one.calls_ms), 0.99) for one in own]) if own else None
        findings += [
            Finding(
                measure=f"{name}: call to last worker, p99",
                reached=p99_ms,
                limit=LIMIT_MS,
                unit=" ms",
                digits=1,
                skipped=why_no_disk,
            ),
            Finding(
                measure=f"{name}: failed requests",
                reached=spread([one.failed for one in own]) if own else None,
                limit=0,
                unit="",
                digits=0,
                skipped=why_no_disk,
            ),
        ]
        if own and p99_ms is not None:
            median_ms = spread([percentile(sorted(one.calls_ms), 0.5) for one in own])
            counts = (str(sum(len(one.calls_ms) for one in own)), str(sum(one.due for one in own)))
            rows.append((name, *counts, median_ms.shown(1), p99_ms.shown(1)))
    quiet = found[BEFORE]
    failed = f"{sum(one.failed for one in quiet)} of {sum(one.due for one in quiet)}"
    return Result(
        title="Promotion and rollback under load",
        findings=findings,
        tables=[Table(("verb", "calls", "requests", "p50, ms", "p99, ms"), rows)],
        note=(
            f"Open loop, {RATE_PER_S:,.0f} requests/s, the other version in the shadow. A call's time is until its "
            "answer: probe, transaction with full sync, audit head, routing table on disk, and every worker's "
            "acknowledgement are within it. Control may use both cores, whichever has time. In trouble the registry's "
            "folder is gone and a small disk with the state "
            f"is filled to its last byte; the transaction commits on the reserve. While nobody called, {failed} failed."
        ),
    )
