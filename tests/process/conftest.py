"""Sidecars on ephemeral ports, every process of which is ended with the test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.whole_sidecar import Make, Model, Sidecar


@pytest.fixture(scope="session")
def models() -> Iterator[dict[str, Model]]:
    standing = {version: Model(version) for version in ("3", "4", "5")}
    yield standing
    for model in standing.values():
        model.close()


@pytest.fixture
def settings(models: dict[str, Model], tmp_path: Path) -> dict[str, Any]:
    """A sidecar with one challenger and gates that a few answers pass."""
    gates: dict[str, Any] = dict.fromkeys(
        ("duration", "completeness", "errors", "latency", "agreement", "prediction", "outcome", "inputs", "lineage"),
        False,
    )
    return {
        "listen": "127.0.0.1:0",
        "state_dir": str(tmp_path / "state"),
        "admin": {"listen": "127.0.0.1:0"},
        "timeouts": {"drain_s": 50},
        "deployments": [
            {
                "name": "fraud",
                "champion": {"version": "3", "url": models["3"].url},
                "challengers": [{"version": "4", "url": models["4"].url}],
                "gates": gates | {"pairs": {"min": 20}},
            }
        ],
    }


@pytest.fixture
def make(tmp_path: Path, settings: dict[str, Any]) -> Iterator[Make]:
    """Makes sidecars that are not started yet; `changes` replace top-level settings."""
    made: list[Sidecar] = []
    # A killed sidecar leaves its link's folder; `tmp_path` would be too long for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="st-") as short:

        def one(environment: dict[str, str] | None = None, **changes: Any) -> Sidecar:
            folder = tmp_path / f"sidecar-{len(made)}"
            folder.mkdir()
            made.append(Sidecar(folder, settings | changes, {"TMPDIR": short} | (environment or {})))
            return made[-1]

        yield one
        for sidecar in made:
            if hasattr(sidecar, "process"):
                sidecar.clear()


@pytest.fixture
def sidecar(make: Make) -> Sidecar:
    """One that serves."""
    return make().start()
