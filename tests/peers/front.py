"""A whole sidecar before a real server, with a tap on either side of it, and what must hold of every protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from registry_client.baseline import to_json
from registry_client.from_columns import build_baseline
from tests.peers.standing import Client
from tests.peers.tap import Message, Tap
from tests.process.whole_sidecar import Sidecar, until

FEATURES = ("amount", "age", "foreign")
# What the sidecar adds, and what belongs to one hop (RFC 9110 section 7.6.1): each side has its own connections.
OWN = frozenset({"x-request-id", "sidecar-model", "sidecar-version"})
HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


class Front:
    """`url` is the callers' side."""

    def __init__(self, sidecar: Sidecar, callers: Tap, servers: Tap) -> None:
        self.sidecar, self.callers, self.servers = sidecar, callers, servers
        self.url = callers.url

    def check_untouched(self, at_least: int) -> None:
        """Every request reached the server as it was sent, and every answer the caller, but for the sidecar's own."""
        seen, served = self.callers.exchanges(), self.servers.exchanges()
        assert len(seen) >= at_least, f"{len(seen)} requests of {at_least}"
        assert [_bare(request) for request, _ in seen] == [_bare(request) for request, _ in served]
        assert sorted(_bare(answer) for _, answer in seen) == sorted(_bare(answer) for _, answer in served)
        for request, answer in seen:
            assert answer.header("x-request-id"), answer
            asked = request.header("x-request-id")
            assert asked in (None, answer.header("x-request-id"))

    def watched(self, deployment: str, rows: int) -> dict[str, Any]:
        """The drift report once so many rows have been counted: under the features' names, and nothing unreadable."""
        path = f"/v1/deployments/{deployment}/drift"
        until(f"{rows} rows of {deployment}", lambda: self._seen(path) >= rows)
        report: dict[str, Any] = self.sidecar.get(path)
        assert report["undecodable"] == 0, report
        assert report["rows_sampled"] == report["rows_seen"] == rows, report
        counted = {feature["name"]: feature["n"] for feature in report["features"]}
        assert {name: counted.get(name) for name in FEATURES} == dict.fromkeys(FEATURES, rows), counted
        assert [f for f in report["features"] if f["missing"] or f["wrong_type"]] == []
        return report

    def _seen(self, path: str) -> int:
        report = self.sidecar.get(path)
        return int(report["rows_sampled"]) + int(report["undecodable"])

    def predicted(self, request_id: str) -> list[float | str]:
        """What is known of one request's predictions, row by row."""

        def found() -> Any:
            with contextlib.suppress(AssertionError):
                return self.sidecar.get(f"/v1/decisions/{request_id}")
            return None

        prediction = until(f"the decision of {request_id}", found)["prediction"]
        return prediction if isinstance(prediction, list) else [prediction]


@dataclass
class Stand:
    """A server, the sidecar before it, and the server's own client."""

    url: str
    front: Front
    client: Client

    def both(self, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the client got straight from the server, and through the sidecar."""
        return self.client.call(self.url, kind), self.client.call(self.front.url, kind)


@contextlib.contextmanager
def front(folder: Path, server: str, paths: dict[str, str], **deployment: Any) -> Iterator[Front]:
    """A sidecar whose deployments `paths` (name to route) all have the server as their champion."""
    baseline = folder / "baseline.json"
    rng = np.random.default_rng(7)
    columns = {
        "amount": np.exp(rng.normal(4.0, 1.0, 3_000)),
        "age": rng.integers(18, 90, 3_000).astype(float),
        "foreign": rng.integers(0, 2, 3_000).astype(float),
        "score": rng.uniform(size=3_000),
    }
    baseline.write_bytes(to_json(build_baseline(columns, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))))
    with Tap(server) as servers:
        one = {"champion": {"version": "1", "url": servers.url}, "baseline": str(baseline)} | deployment
        settings = {
            "listen": "127.0.0.1:0",
            "state_dir": str(folder / "state"),
            "upstream": servers.url,
            "admin": {"listen": "127.0.0.1:0"},
            "deployments": [{"name": name, "match": {"path": path}} | one for name, path in paths.items()],
        }
        sidecar = Sidecar(folder, settings, {}).start()
        try:
            with Tap(sidecar.data) as callers:
                yield Front(sidecar, callers, servers)
        finally:
            sidecar.clear()


def _bare(message: Message) -> Message:
    return message.without(OWN | HOP)
