"""Whole sidecars before misbehaving model servers; all of it ends with the test or, where shared, with the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.ground import Ground, allow_files
from tests.chaos.scripted_backend import Stage
from tests.process.whole_sidecar import Sidecar, until

MakeGround = Callable[..., Ground]
# `SIDECAR_CHAOS=long` takes the numbers of the specification (10 minutes, 10,000 aborts) instead of a fraction.
LONG = os.environ.get("SIDECAR_CHAOS") == "long"


@pytest.fixture(scope="session")
def long_form() -> bool:
    return LONG


@pytest.fixture(scope="session", autouse=True)
def files() -> int:
    """How many files this process and its children may open."""
    return allow_files(8192)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Where the model servers of a file's tests live."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeGround]:
    """Starts sidecars for a file's tests. The first argument is the list of deployments, others are settings."""
    made: list[Sidecar] = []
    # A killed sidecar leaves its link's folder; pytest's own folders would be too long for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="st-") as short:

        def one(
            deployments: list[dict[str, Any]], environment: dict[str, str] | None = None, **settings: Any
        ) -> Ground:
            folder = tmp_path_factory.mktemp("sidecar")
            given = {
                "listen": "127.0.0.1:0",
                "state_dir": str(folder / "state"),
                "admin": {"listen": "127.0.0.1:0"},
                "deployments": deployments,
            }
            made.append(Sidecar(folder, given | settings, {"TMPDIR": short} | (environment or {})))
            sidecar = made[-1].start()
            until("every worker routes", sidecar.ready)
            return Ground(sidecar)

        yield one
        for sidecar in made:
            if hasattr(sidecar, "process"):
                sidecar.clear()
