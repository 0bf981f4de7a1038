"""R-F17 with a whole sidecar: its registry's folder vanishes, and traffic, rollback and a restart go on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry_client.client import open_registry
from registry_client.from_columns import build_baseline
from registry_client.model import ModelVersion
from tests.process.whole_sidecar import Callers, Make, Sidecar, until

ONE = "/v1/deployments/fraud"


async def fill(folder: Path) -> ModelVersion:
    registry = open_registry(f"file:{folder}")
    baseline = build_baseline({"x": [float(n) for n in range(100)]}, now=datetime(2026, 1, 1, tzinfo=UTC))
    await registry.register("fraud", "4", lineage={"data": "2026-02"})
    version = await registry.register("fraud", "3", baseline=baseline, lineage={"data": "2026-01"})
    await registry.set_alias("fraud", "champion", "3")
    return version


def registry_of(sidecar: Sidecar) -> Any:
    return sidecar.get(ONE)["registry"]


def test_when_the_registry_vanishes_traffic_rollback_and_a_restart_go_on(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    champion = asyncio.run(fill(folder))
    sidecar = make(registry={"uri": f"file:{folder}", "poll_s": 0.2}).start()
    until("the registry was asked", lambda: registry_of(sidecar)["reachable"])
    with Callers(sidecar.data, 1) as callers:  # two would note their answers around a change in any order
        callers.more(200)
        folder.rename(tmp_path / "elsewhere")
        until("the registry's absence is told", lambda: registry_of(sidecar)["reachable"] is False)
        told = registry_of(sidecar)
        assert told["since"].endswith("Z")
        assert "does not exist" in told["says"]
        until("pairs", lambda: sidecar.get(f"{ONE}/gates")["verdict"] == "pass")
        promoted = sidecar.cli("promote", "fraud", "4", "--reason", "better by far")
        assert promoted.returncode == 0, promoted.stderr
        callers.more(50)
        back = sidecar.cli("rollback", "fraud", "--reason", "answers hurt")
        assert back.returncode == 0, back.stderr
        callers.more(50)
    assert (callers.statuses, callers.faults) == ({200}, [])
    assert callers.versions == ["3", "4", "3"]
    assert sidecar.metric("sidecar_registry_reachable", deployment="fraud") == 0
    assert sidecar.metric("sidecar_registry_age_seconds", deployment="fraud") > 0
    shown = sidecar.cli("status")
    assert "does not exist" in " ".join(shown.stdout.split())

    # Restarted without it: the same champion, its baseline and lineage from the copies on disk.
    assert sidecar.stop() == 0
    sidecar.start()
    with Callers(sidecar.data) as callers:
        callers.more(50)
    assert (callers.statuses, callers.versions) == ({200}, ["3"])
    assert registry_of(sidecar)["reachable"] is False
    assert sidecar.get(ONE)["lineage"]["3"] == {"data": "2026-01"}
    assert sidecar.get(f"{ONE}/drift")["baseline"]["digest"] == champion.baseline_digest
