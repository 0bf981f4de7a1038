"""Faults within the product's own processes, brought in from outside: Python runs `sitecustomize` before anything else.

The product has no hooks for tests. A folder with that module goes on PYTHONPATH, and acts in one kind of process.
"""

from __future__ import annotations

import os
from pathlib import Path

# In the worker: offering an exchange to control raises, or so does opening it, before any copy is made.
OFFERING_RAISES = """
from sidecar.proxy.link import Link
def offer(self, exchange):
    raise RuntimeError("sabotage")
Link.offer = offer
"""
GATHERING_RAISES = """
from sidecar.proxy.mirror import Mirror
def gather(self, *given):
    raise RuntimeError("sabotage")
Mirror.gather = gather
"""
# Every exchange raises in the observers.
OBSERVERS_RAISE = """
from sidecar.control.watch import DeploymentWatch
def fold(self, exchange):
    raise RuntimeError("sabotage")
DeploymentWatch.fold = fold
"""
# Ballast makes a process as large as one that has had much to hold.
BALLAST_BYTES = 128 << 20
HEAVY = f"""
ballast = b"x" * {BALLAST_BYTES}
sys.ballast = ballast
"""
# SIGUSR2 blocks the loop for a quarter of a second.
BLOCK_S = 0.25
BLOCKABLE = f"""
import signal, time
def block_the_loop(number, frame):
    time.sleep({BLOCK_S})
signal.signal(signal.SIGUSR2, block_the_loop)
"""


def sabotaged(folder: Path, module: str, act: str) -> dict[str, str]:
    """The environment in which every process that runs `module` begins with an act."""
    indented = "".join(f"    {line}\n" for line in act.strip().splitlines())
    (folder / "sitecustomize.py").write_text(
        f"import sys\nif {module!r} in sys.orig_argv:\n{indented}", encoding="utf-8"
    )
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{before}" if before else str(folder)}
