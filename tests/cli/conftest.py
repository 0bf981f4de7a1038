"""A small HTTP server that plays the admin API, with the shapes that the real one answers in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click.testing
import msgspec
import pytest

from sidecar.admin import answers
from sidecar.cli import main
from sidecar.reports import (
    Cause,
    ComparisonReport,
    Copies,
    DriftReport,
    FeatureDrift,
    GateTable,
    GateVerdict,
    Interval,
    Quantiles,
    ScoreDifference,
)
from sidecar.standing import (
    Alarm,
    AuditEntry,
    ChallengerStatus,
    ChampionStatus,
    DeploymentStatus,
    RegistryStatus,
    Transition,
)

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class PlayedApi:
    """What to answer at each path, and what was asked."""

    url: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    handle: Callable[[BaseHTTPRequestHandler], None] | None = None

    def answer(self, path: str, document: Any, status: int = 200) -> None:
        kind = "application/json" if status < 400 else "application/problem+json"
        self.answers[path] = (status, kind, msgspec.json.encode(document))

    def problem(self, path: str, status: int, detail: str, **members: Any) -> None:
        self.answer(path, {"type": "about:blank", "title": "No", "status": status, "detail": detail, **members}, status)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedApi]:
    played = PlayedApi()

    class Handler(BaseHTTPRequestHandler):
        def _play(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            played.calls.append(Call(self.command, self.path, dict(self.headers), body))
            if played.handle is not None:
                played.handle(self)
                return
            missing = (404, "application/problem+json", b'{"detail": "There is nothing at this path."}')
            status, kind, data = played.answers.get(self.path, missing)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _play  # noqa: N815  # the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        played.url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("SIDECAR_URL", played.url)
        monkeypatch.delenv("SIDECAR_TOKEN", raising=False)
        yield played
        server.shutdown()
        thread.join()


@pytest.fixture
def fraud(api: PlayedApi) -> PlayedApi:
    """The API of a sidecar with the deployment `fraud`: champion 3, challenger 4."""
    one = "/v1/deployments/fraud"
    api.answer("/v1/deployments", {"items": [answers.deployment(FRAUD)]})
    api.answer(f"{one}/gates", answers.gates(GATES))
    api.answer(f"{one}/gates?challenger=4", answers.gates(GATES))
    api.answer(f"{one}/comparison", answers.comparison(COMPARISON, "3", "4"))
    api.answer(f"{one}/drift?against=training", answers.drift(DRIFT))
    api.answer("/v1/alarms", {"items": [answers.alarm(ALARM)]})
    api.answer("/v1/audit?after=0&limit=100", {"entries": [answers.audit_entry(ENTRY)]})
    api.answer("/v1/audit/verify", {"ok": True, "entries": 2, "head": "sha256:beef", "fault": None})
    api.answer(f"{one}/promote", PROMOTED)
    api.answer(f"{one}/rollback", PROMOTED)
    return api


@pytest.fixture
def sidecar() -> Callable[..., click.testing.Result]:
    """Runs the program; a traceback fails the test."""

    def run(*arguments: str) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, arguments, prog_name="sidecar")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert "Traceback" not in result.output
        return result

    return run


FRAUD = DeploymentStatus(
    name="fraud",
    owner="risk-ml@example.com",
    generation=7,
    state="steady",
    champion=ChampionStatus(version="3", url="http://127.0.0.1:1", since=NOW),
    previous="2",
    challengers=(
        ChallengerStatus(version="4", url="http://127.0.0.1:2", fraction=0.5, enabled=True, health="healthy"),
    ),
    registry=RegistryStatus(reachable=True, diverged=True, says="alias champion points at 9"),
    config_differs=True,
    watch_until=None,
    lineage={},
)
GATES = GateTable(
    deployment="fraud",
    champion="3",
    challenger="4",
    verdict="insufficient",
    evidence="sha256:cafe",
    gates=(
        GateVerdict(name="errors", verdict="pass", observed=0.0, required=0.001, n=9000, detail="fine"),
        GateVerdict(name="pairs", verdict="insufficient", observed=12, required=5000, n=12, detail="4988 to go"),
        GateVerdict(name="latency", verdict="off", observed=None, required=None, n=0, detail="switched off"),
    ),
)
COMPARISON = ComparisonReport(
    since=NOW,
    mirrored_s=60.0,
    copies=Copies(mirrored=100, answered=98, errors={"timeout": 2}, dropped={"queue_full": 5}),
    pairs=98,
    paired_requests=98,
    judged_requests=100,
    champion_failures=0,
    challenger_failures=2,
    unpaired=0,
    agreement=Interval(0.97, 0.9, 0.99),
    agreement_basis="labels",
    flips={},
    score_difference=ScoreDifference(n=98, mean=0.001, mean_abs=0.01, p50=0.0, p95=0.05, max=0.4),
    prediction_psi=0.01,
    latency_champion=Quantiles(n=98, p50=1.5, p99=4.0),
    latency_challenger=Quantiles(n=98, p50=1.75, p99=5.5),
    worst=(),
)


def _feature(name: str, *, psi: float, cause: Cause | None = None) -> FeatureDrift:
    return FeatureDrift(
        name=name, kind="numeric", n=500, psi=psi, psi_noise=0.01, kl_lower=0.3, e_value=1e9, alarm=cause is not None,
        since=NOW, missing=0.25, wrong_type=0.0, unseen=0.0, cause=cause, cells=("a",), baseline_counts=(1,),
        live_counts=(1,),
    )  # fmt: skip


DRIFT = DriftReport(
    against="training",
    baseline_model="fraud",
    baseline_version="3",
    baseline_digest="sha256:abc",
    rows_seen=1000,
    rows_sampled=500,
    undecodable=0,
    severity="critical",
    features=(
        _feature("age", psi=0.01),
        _feature("amount", psi=7.5, cause=Cause(kind="scale", says="amount is ×0.01: cents to euros", factor=0.01)),
    ),
    prediction=_feature("score", psi=0.02),
)
ALARM = Alarm(
    id="a1",
    deployment="fraud",
    kind="data.broken",
    severity="critical",
    says="amount is ×0.01 since 12:00",
    action="fix the feed, do not retrain",
    since=NOW,
    owner="risk-ml@example.com",
    acknowledged=False,
)
ENTRY = AuditEntry(
    seq=2,
    at=NOW,
    actor="alice",
    action="promote",
    deployment="fraud",
    from_version="3",
    to_version="4",
    reason="gates pass",
    evidence=None,
    details="{}",
    prev="0",
    hash="1",
)
PROMOTED = Transition(
    deployment="fraud", from_version="3", to_version="4", generation=8, audit_seq=12, evidence="sha256:cafe"
)
