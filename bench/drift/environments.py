"""The peers, pinned, each in an environment of its own under .cache/bench-drift/; `make clean` removes them.

Their packages would not live beside ours or each other's. Nothing of them is imported here: `peer_run.py` runs in
their environments. Telemetry is switched off; nothing leaves this machine. alibi-detect is not among them: its
licence (BSL 1.1) does not let it be run for this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.drift.data import CACHE
from bench.programs import Missing

# Name -> what pip is asked for. numpy, pandas and pyarrow are pinned to what each of them takes.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "evidently": ("evidently==0.7.23", "numpy==2.4.6", "pandas==2.3.3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels==0.15.0"),
    "whylogs": (
        "whylogs==1.6.4",
        "numpy==1.26.4",
        "pandas==2.3.3",
        "pyarrow==21.0.0",
        "scipy==1.13.1",
        "ipython==9.18.1",
        "pybars3==0.9.7",
    ),
    "river": ("river==0.26.1", "datasketches==5.2.0", "ddsketch==3.0.1", "pandas==2.3.3"),
    "scouter": ("scouter-ml==0.25.0", "numpy==2.4.6", "pandas==2.3.3"),
}
QUIET = {
    "NML_DISABLE_USAGE_LOGGING": "1",
    "WHYLOGS_NO_ANALYTICS": "True",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}


def versions() -> str:
    """What is compared with, for the report."""
    return ", ".join(packages[0].replace("==", " ") for packages in PACKAGES.values())


def python(name: str) -> str:
    """The interpreter of a peer's environment; raises Missing."""
    if not _ready(name).is_file():
        raise Missing(f"{name} is not installed: --install brings it")
    return str(_home(name) / "bin" / "python")


def environment() -> dict[str, str]:
    """The variables that a peer runs with."""
    return {**os.environ, **QUIET, "PYTHONPATH": ""}


def install(name: str) -> None:
    """Makes a peer's environment if it is not there; raises Missing."""
    if _ready(name).is_file():
        return
    home, packages = _home(name), PACKAGES[name]
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=False)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--no-compile", *packages], capture_output=True, text=True, check=False)
    if made.returncode or done.returncode:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise Missing(f"{name} could not be installed: {said}")
    _ready(name).touch()


def _home(name: str) -> Path:
    return CACHE / f"peer-{name}"


def _ready(name: str) -> Path:
    return _home(name) / ("ready-" + "-".join(PACKAGES[name]))
