"""Which interpreter runs the sidecar, and whether its hot modules are the compiled ones (`make compiled`).

A worker is started from another folder than the project's, with the build first on its path: so the build that was
asked for is the one that is measured. Whether it is compiled is read from the worker's own memory map.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import msgspec

from bench import process

ROOT = Path(__file__).parent.parent
COMPILED = ROOT / "build" / "compiled"
DEBIANS = Path("/usr/bin/python3")
_PACKAGES = ("sidecar", "registry_client")
_ASK = "import sys, sysconfig; print(sys.implementation.cache_tag, sys.version.split()[0], sep='\\n')"
_NEEDED = "import uvloop, httptools, msgspec"


class NotUsable(Exception):
    """The interpreter or the build cannot be measured. One sentence that says what to do."""


class Build(msgspec.Struct, frozen=True):
    """The sidecar's sources, compiled or not, on an interpreter. `path` is what PYTHONPATH must be."""

    python: str
    path: str

    def command(self, module: str, *arguments: str) -> list[str]:
        """Starts one of the sidecar's modules."""
        return [self.python, "-m", module, *arguments]

    def environment(self) -> dict[str, str]:
        """The environment to start it in; from another working folder than the project's, which `-m` would prefer."""
        return {**os.environ, "PYTHONPATH": self.path}


def builds(python: str | None) -> tuple[Build, Build | None]:
    """The build as it ships, and pure Python beside it where the former is compiled. Raises NotUsable."""
    interpreter = python or sys.executable
    borrowed = _packages_for(interpreter) if python else []
    pure = Build(interpreter, os.pathsep.join([str(ROOT), *borrowed]))
    if not COMPILED.is_dir():
        return pure, None
    if changed := stale_sources(ROOT, COMPILED):
        raise NotUsable(f"build/compiled was made before {changed[0]} changed: make compiled, or remove it")
    return Build(interpreter, os.pathsep.join([str(COMPILED), *borrowed])), pure


def stale_sources(root: Path, compiled: Path) -> list[str]:
    """The sources that differ from what was compiled, or were not there."""
    found = []
    for package in _PACKAGES:
        for source in sorted((root / package).rglob("*.py")):
            name = source.relative_to(root)
            twin = compiled / name
            if not twin.is_file() or twin.read_bytes() != source.read_bytes():
                found.append(name.as_posix())
    return found


def is_compiled(pid: int) -> bool:
    """Whether a process has loaded the sidecar's compiled library, one for all of its modules."""
    names = (Path(name) for name in process.mapped_files(pid))
    return any(name.suffix == ".so" and name.is_relative_to(COMPILED) for name in names)


def described(build: Build, pid: int) -> str:
    """Interpreter and kind, for the report."""
    version = _asked(build.python, "import sys; print(sys.version.split()[0])")
    kind = "its data plane compiled" if is_compiled(pid) else "pure Python"
    return f"Python {version} at {_shown(build.python)}, {kind}"


def hint(python: str | None) -> str:
    """What to say to someone who did not choose an interpreter while a better one is at hand; else nothing.

    Debian builds its Python with profile-guided optimisation; whoever built this one may not have.
    """
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    if python or optimised or not DEBIANS.exists() or _tag(str(DEBIANS)) != _tag(sys.executable):
        return ""
    return f"this interpreter was built without profile-guided optimisation; --python {DEBIANS} would do, too"


def _packages_for(python: str) -> list[str]:
    """Where another interpreter finds uvloop and the like: its own, else this environment's if the binaries fit."""
    if _asked(python, _NEEDED) is not None:
        return []
    own = sysconfig.get_paths()
    if _tag(python) != _tag(sys.executable):
        raise NotUsable(f"{python} lacks uvloop, httptools or msgspec, and cannot use those of {sys.executable}")
    return list(dict.fromkeys([own["purelib"], own["platlib"]]))


def _tag(python: str) -> str:
    answer = _asked(python, _ASK)
    if answer is None:
        raise NotUsable(f"{python} does not run")
    return answer.splitlines()[0]


def _asked(python: str, program: str) -> str | None:
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, cwd="/")
    except OSError as error:
        raise NotUsable(f"{python} does not run ({error.strerror})") from error
    return done.stdout.strip() if done.returncode == 0 else None


def _shown(python: str) -> str:
    """No folder of somebody's machine in a page for everybody, but for the system's own."""
    return python if python.startswith("/usr/") else Path(python).name
