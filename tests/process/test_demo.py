"""`sidecar demo --once`, as a newcomer runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.whole_sidecar import command, compiled, until

DEMO = [sys.executable, "-m", "sidecar.cli", "demo", "--port", "0", "--admin-port", "0"]
STEPS = (
    "version 4 shadows 3",
    "late outcomes came in and every gate passes",
    "version 4 is the champion (generation 2), 3 keeps shadowing",
    "the feed of `amount` silently changes from cents to euros",
    "alarm data.broken: amount: live = 0.01 × trained",
    "no gate table passes",
    "rolled back to version 3 (generation 3)",
    "audit verify: 3 entries, unbroken",
    "payments were scored, none failed",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder with a short name: model servers' sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


def parts_in(folder: Path) -> list[int]:
    """Processes that were started with something of this folder."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if str(folder) in command(pid)]


def test_the_story_comes_true(folder: Path) -> None:
    environment = compiled({"TMPDIR": str(folder)})
    played = subprocess.run(
        [*DEMO, "--once"], env=environment, cwd=folder, capture_output=True, text=True, timeout=400, check=False
    )

    assert played.returncode == 0, played.stdout + played.stderr
    lines = played.stdout.splitlines()
    assert lines[0].startswith("Dashboard: http://127.0.0.1:")
    told = [line for line in lines if line.startswith("  ✓ ")]
    assert [step for step, line in zip(STEPS, told, strict=True) if step not in line] == []
    assert "do not retrain" in told[4]
    assert played.stderr == ""
    assert parts_in(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_told_to_end_leaves_no_part_behind(folder: Path, number: signal.Signals) -> None:
    environment = compiled({"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"})
    out = folder / "out.txt"
    with out.open("wb") as file, subprocess.Popen(DEMO, env=environment, cwd=folder, stdout=file) as demo:
        try:
            until("the dashboard's line", lambda: "Dashboard" in out.read_text(), 120)
            assert len(parts_in(folder)) >= 4
            os.kill(demo.pid, number)
            assert demo.wait(60) == 0
        finally:
            demo.kill()

    assert parts_in(folder) == []
    assert [entry.name for entry in folder.iterdir()] == ["out.txt"]


def test_a_taken_port_is_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        told = subprocess.run(
            [*DEMO, "--once", "--port", port],
            env=compiled({"TMPDIR": str(folder)}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert (told.returncode, told.stdout) == (1, "")
    assert f"listen 127.0.0.1:{port}: another process listens there" in told.stderr
    assert told.stderr.count("\n") == 1
    assert parts_in(folder) == []
