"""From an alias set in the registry to the first copy: a version that this sidecar fetches, starts and warms itself.

A whole sidecar whose versions a folder registry names, under a light stream of requests. Each move is to a version
that was never here, so nothing of it is fetched or running. The first copy is the one of which the access log tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import cycle
from pathlib import Path

import yaml

from bench import child, process, traffic
from bench.result import Finding, Result, Table
from bench.spread import spread
from bench.stand import Stand
from bench.tables import path_of
from bench.traffic import CHALLENGER, CHAMPION, MODEL
from bench.whole_sidecar import START_S, SidecarFailed
from registry_client.client import Registry, open_registry
from registry_client.webhook import signature
from sidecar.demo.stage import fill_registry

POLL_S, LIMIT_S, WEBHOOK_LIMIT_S = 1.0, 3.0, 2.0
BY_POLL, BY_WEBHOOK = f"polled every {POLL_S:g} s", "told by webhook"
WAYS = {BY_POLL: POLL_S, BY_WEBHOOK: 3600.0}
MOVES = 3
_PATIENCE_S, _LOOK_S, _PAUSE_S = 60.0, 0.1, 0.01
_LOG = "access.log"
_SECRET, _VARIABLE = "bench", "SIDECAR_BENCH_WEBHOOK"


def measure(stand: Stand) -> Result:
    """The row."""
    found: dict[str, list[list[float]]] = {}
    for way, poll_s in WAYS.items():
        folder = stand.new("alias")
        folder.mkdir()
        asyncio.run(fill_registry(folder / "registry"))
        registry = open_registry(f"file:{folder / 'registry'}")
        data, admin = child.free_ports(2)
        with _sidecar(stand, folder, data, admin, poll_s), _requests(data):
            for round_number in range(stand.rounds):
                names = [f"{round_number}-{move}" for move in range(MOVES)]
                times = [_moved(registry, folder, name, admin, by_webhook=way == BY_WEBHOOK) for name in names]
                found.setdefault(way, []).append(times)
                stand.tell(f"{way}: " + ", ".join(f"{seconds:.2f} s" for seconds in times))
    return judged(found)


def _moved(registry: Registry, folder: Path, version: str, admin: int, *, by_webhook: bool) -> float:
    """Seconds from the alias to the first copy."""
    artifact = folder / "registry" / MODEL / "versions" / CHALLENGER / "model.onnx"
    asyncio.run(registry.register(MODEL, version, artifact=artifact))
    asyncio.run(registry.set_alias(MODEL, "challenger", version))
    began = time.time()
    if by_webhook:
        _tell(admin, version)
    found: list[float] = []

    def copied() -> bool:
        found.extend(_copies(folder / _LOG, version))
        return bool(found)

    _await(copied, f"version {version} got no copy within {_PATIENCE_S:g} s of its alias")
    return found[0] - began


def _copies(log: Path, version: str) -> Iterator[float]:
    """When the requests came of which this version answered a copy, in seconds since the epoch."""
    marks = ('"leg":"shadow"', f'"version":"{version}"', '"status":200')
    with log.open(encoding="ascii") as lines:
        for line in lines:
            if line.endswith("\n") and all(mark in line for mark in marks):
                yield datetime.fromisoformat(json.loads(line)["time"]).timestamp()


def _tell(admin: int, version: str) -> None:
    """As MLflow would."""
    data = {"name": MODEL, "alias": "challenger", "version": version}
    body = json.dumps({"entity": "model_version_alias", "action": "created", "data": data}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": version,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature(_SECRET.encode(), version, stamp, body),
    }
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", admin, timeout=30)) as connection:
        connection.request("POST", "/v1/registry/webhook", body, headers)
        status = connection.getresponse().status
    if status != 202:
        raise SidecarFailed(f"the webhook was not taken, but answered with {status}")


@contextlib.contextmanager
def _sidecar(stand: Stand, folder: Path, data: int, admin: int, poll_s: float) -> Iterator[None]:
    """One whose champion serves, while the context lasts."""
    settings = {
        "listen": f"127.0.0.1:{data}",
        "state_dir": str(folder / "state"),
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "registry": {"uri": f"file:{folder / 'registry'}", "poll_s": poll_s, "webhook_secret_env": _VARIABLE},
        "access_log": {"mode": "full", "path": str(folder / _LOG)},
        "deployments": [{"name": MODEL, "from_registry": {"managed": True}, "baseline": "registry"}],
    }
    # As after any installation: modules are compiled once, not at each start of a model server.
    environment = stand.build.environment() | {
        _VARIABLE: _SECRET,
        "PYTHONPYCACHEPREFIX": str(stand.folder / "compiled"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    config, log = folder / "config.yaml", folder / "log"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    with log.open("wb") as file:
        supervisor = subprocess.Popen(
            stand.build.command("sidecar.cli", "run", "-c", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=environment,
            cwd=folder,
        )
    try:
        if not child.await_line(supervisor, b"serving on", START_S):
            raise SidecarFailed(f"sidecar run did not start: {child.said(log)}")
        _await(lambda: _status(data) == 200, f"version {CHAMPION} by its alias does not serve: {child.said(log)}")
        yield
    finally:
        process.stop(supervisor)


def _status(data: int) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", data, timeout=10)) as connection:
        try:
            connection.request("POST", path_of(MODEL), traffic.bodies()[0])
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def _await(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise SidecarFailed(otherwise)
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def _requests(data: int) -> Iterator[None]:
    """About a hundred requests a second while the context lasts: a copy needs a request."""
    over = threading.Event()
    bodies = cycle(traffic.bodies())

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", data, timeout=10)
        while not over.wait(_PAUSE_S):
            try:
                connection.request("POST", path_of(MODEL), next(bodies))
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
        connection.close()

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield
    finally:
        over.set()
        caller.join()


def judged(found: Mapping[str, Sequence[Sequence[float]]]) -> Result:
    """Against the targets, the slowest move of each round. Pure."""
    limits = {BY_POLL: LIMIT_S, BY_WEBHOOK: WEBHOOK_LIMIT_S}
    slowest = {way: spread([max(times) for times in rounds]) for way, rounds in found.items()}
    middle = {way: spread([sorted(times)[len(times) // 2] for times in rounds]) for way, rounds in found.items()}
    return Result(
        title="From an alias to the first copy",
        findings=[
            Finding(
                measure=f"alias moved to first copy, managed ONNX version, {way}, slowest of {MOVES}",
                reached=reached,
                limit=limits[way],
                unit=" s",
                digits=2,
            )
            for way, reached in slowest.items()
        ],
        tables=[
            Table(
                ("the alias is", "median s", "slowest s"),
                [(way, middle[way].shown(2), slowest[way].shown(2)) for way in found],
            )
        ],
        note=(
            "Fetched, checked against its digest, started as a process of its own, asked for an inference of zeros,"
            " routed, and copied; in a process of its own on cores that serve traffic meanwhile."
        ),
    )
