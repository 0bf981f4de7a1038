"""What stands in for the image's two bases where there is no engine: Debian's packages, unpacked into a folder.

The same Debian and the same minor version of Python as the bases have; nothing of this machine is in it, no package's
script is run, and none that nobody needs comes along, so there is no shell either. apt checks the signatures. Nothing
outside the folder is touched. Called by `image_steps`; needs apt-get, dpkg-deb and the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SUITE, PYTHON = "trixie", "3.13"
MIRROR, KEYS = "http://deb.debian.org/debian", "/usr/share/keyrings/debian-archive-keyring.gpg"
# Debian's slim base has the C++ library too, for apt; packages with C++ in them, as onnxruntime, need it.
SLIM = ("python3", "ca-certificates", "tzdata", "libstdc++6")
BUILDS = (*SLIM, "coreutils", "python3-venv", "python3-dev", "gcc", "libc6-dev")


def base(root: Path, packages: tuple[str, ...], cache: Path) -> None:
    """A root with these packages and what they need."""
    root.mkdir(parents=True)
    for archive in _archives(packages, cache, cache / root.name):
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(root)], check=True)
    for name in ("bin", "sbin", "lib", "lib64"):  # as base-files has them, which brings much else
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    # As in the bases: `python` is there, and pip may install beside it.
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{PYTHON}")
    (root / f"usr/lib/python{PYTHON}/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    for wheel in root.glob("usr/share/python-wheels/pip-*.whl"):
        shutil.unpack_archive(wheel, root / f"usr/local/lib/python{PYTHON}/dist-packages", "zip")
    for name in ("dev", "proc", "tmp", "etc", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/nonexistent\n", encoding="ascii")


def reachable(root: Path) -> None:
    """What lets a step use the network as this machine does: names, and the authorities that are believed here."""
    for name in ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"):
        here = Path("/") / name
        if here.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here, root / name)


def _archives(packages: tuple[str, ...], cache: Path, archives: Path) -> list[Path]:
    """Downloads what the packages need, beginning from nothing."""
    for folder in (cache / "lists/partial", archives / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (cache / "status").touch()
    sources = cache / "debian.list"
    sources.write_text(f"deb [signed-by={KEYS}] {MIRROR} {SUITE} main\n", encoding="ascii")
    settings = {
        "Dir::State::Lists": cache / "lists",
        "Dir::State::status": cache / "status",
        "Dir::Cache": cache,
        "Dir::Cache::archives": archives,
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    environment = {"PATH": os.environ["PATH"], "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    subprocess.run([*apt, "update"], check=True, env=environment)
    install = [*apt, "install", "--yes", "--download-only", *packages]
    subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)
    return sorted(archives.glob("*.deb"))
