"""Compiles the data plane while a wheel is built, if HATCH_BUILD_HOOKS_ENABLE=true asks for it.

mypyc makes C extensions of the very sources that run in development. The wheel then holds both; Python prefers an
extension to the source of the same name. Invariant: nothing is ever written beside the sources, so that a work tree is
never half compiled. An editable install, and a wheel built without the variable, are pure and need no compiler.
What mypyc cannot compile ends the build: it never falls back. Called by hatchling; `make compiled` is the short way.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What a worker runs for every request: folders, of which each module is compiled, and single modules.
COMPILED = (
    "sidecar/decide/breaker.py",
    "sidecar/decide/ceiling.py",
    "sidecar/decide/pressure.py",
    "sidecar/decide/router.py",
    "sidecar/proxy",
    "sidecar/wire",
)
LEFT_AS_SOURCE = frozenset(
    {
        "sidecar/proxy/drain.py",  # once in a worker's life
        "sidecar/proxy/own_resources.py",  # once a second at most
        "sidecar/proxy/tls.py",  # once a handshake; its classes have bases that mypyc's cannot have
        "sidecar/proxy/watchdog.py",  # once a second at most
        "sidecar/wire/refusal.py",  # msgspec makes its class at run time
    }
)
NO_COMPILER = (
    "A compiled wheel needs a C compiler and Python's headers: install gcc and python3-dev (their names in Debian), "
    'or for the first `pip install ziglang` and CC="python -m ziglang cc"'
)


def compiled_sources(root: Path) -> list[str]:
    """The modules that are compiled, as paths from the project's root."""
    found: list[Path] = []
    for name in COMPILED:
        found += [root / name] if name.endswith(".py") else (root / name).glob("*.py")
    names = sorted(path.relative_to(root).as_posix() for path in found if path.name != "__init__.py")
    return [name for name in names if name not in LEFT_AS_SOURCE]


def compile_extensions(root: Path, scratch: Path) -> dict[str, Path]:
    """Compiles the data plane; everything is written below `scratch`, where an unchanged module is not compiled again.

    Returns:
        Where in the wheel each extension belongs, and the file.

    Raises:
        SystemExit: no compiler, or mypyc cannot compile a module; said on standard error.
    """
    # Here, because they are there only when the hook is on.
    from mypyc.build import mypycify  # noqa: PLC0415
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise SystemExit(NO_COMPILER)
    built = scratch / "lib"
    with contextlib.chdir(root):  # mypy tells a module's name by its path from here
        extensions = mypycify(
            [
                "--config-file=",  # `make lint` is the strict one, with the whole project's types
                "--ignore-missing-imports",
                "--follow-imports=silent",
                "--explicit-package-bases",
                "--hide-error-context",
                *compiled_sources(root),
            ],
            # One library: calls between modules are C calls, of which many are inlined.
            group_name="sidecar",
            opt_level="3",
            debug_level="0",
            target_dir=str(scratch / "c"),
        )
        command = build_ext(Distribution({"name": "sidecar", "ext_modules": extensions}))
        command.build_lib, command.build_temp, command.parallel = str(built), str(scratch / "objects"), True
        command.ensure_finalized()
        command.run()
    # Not whatever lies there: of a module that is gone, the extension may still be.
    return {Path(path).relative_to(built).as_posix(): Path(path) for path in command.get_outputs()}


class CompiledDataPlane(BuildHookInterface[Any]):
    """Puts the compiled data plane into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the extensions, and the tag of the interpreter and machine that they are for."""
        if version == "editable":
            return
        root = Path(self.root)
        extensions = compile_extensions(root, root / "build" / f"mypyc-{sys.implementation.cache_tag}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): name for name, path in extensions.items()})
