"""The programs that a bench needs beside Python: are they here, and which Debian package brings them?"""

from __future__ import annotations

import os
import shutil
import subprocess

# Program -> Debian package. nginx lives in a folder that an ordinary user's PATH may lack.
PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
_SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


class Missing(Exception):
    """A program is not installed. The message says how to get it."""


def path_of(program: str) -> str:
    """Where a program is; raises Missing."""
    found = shutil.which(program, path=_SEARCH)
    if found is None:
        raise Missing(f"{program} is not installed: apt-get install {PACKAGES[program]}")
    return found


def require(*, install: bool) -> None:
    """Makes sure that all programs are here. Installs what is missing only if asked to and allowed to."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program, path=_SEARCH) is None]
    if not missing:
        return
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
    for program in PACKAGES:
        path_of(program)
