"""What else sums up a training set: whylogs' profiling and pandas' describe, from PyPI, pinned, in one environment.

It is of the bench's own, because whylogs wants an older numpy than the sidecar; `make clean` removes it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.programs import Missing

ENVIRONMENT = Path(__file__).parent.parent / ".cache" / "bench-profilers"
# whylogs 1.6.4 is its last release and wants a numpy before 2, and so do these.
PACKAGES = ("whylogs==1.6.4", "numpy==1.26.4", "pandas==2.3.3", "pyarrow==21.0.0")
_READY = ENVIRONMENT / ("ready-" + "-".join(PACKAGES))


def python() -> str:
    """The environment's interpreter; raises Missing."""
    if not _READY.is_file():
        raise Missing("whylogs is not installed: --install brings it")
    return str(ENVIRONMENT / "bin" / "python")


def versions() -> str:
    """What is compared with, for the report."""
    return ", ".join(package.replace("==", " ") for package in PACKAGES[::2])


def require(*, install: bool) -> None:
    """Makes the environment if it is not there; raises Missing."""
    if _READY.is_file():
        return
    wanted = " ".join(PACKAGES)
    if not install:
        raise Missing(f"the row `baseline` needs whylogs and pandas: --install brings them ({wanted} from PyPI)")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=False)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if made.returncode or subprocess.run([*pip, *PACKAGES], check=False).returncode:
        raise Missing(f"whylogs could not be installed; try: pip install {wanted}")
    _READY.touch()
