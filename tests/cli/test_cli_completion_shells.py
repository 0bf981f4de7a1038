"""Completion as a person of zsh or fish has it: Tab in a real one, set up as `sidecar completion` says."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache" / "shells"


@pytest.fixture
def environment(tmp_path: Path, fraud: Any) -> dict[str, str]:
    """A home with nothing in it, and `sidecar` on the path."""
    path = tmp_path / "sidecar"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m sidecar.cli "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "SIDECAR_URL": fraud.url, "LANG": "C.UTF-8"}


def shell(name: str) -> Path:
    """The machine's own, or the one that was unpacked from Debian's packages."""
    found = [UNPACKED / folder / name for folder in ("bin", "usr/bin")]
    own = shutil.which(name)
    program = next((path for path in found if path.exists()), Path(own) if own else None)
    if program is None:
        pytest.fail(f"{name} is missing: make .cache/shells/ready")
    return program


def unpacked(pattern: str) -> list[Path]:
    return sorted(path.resolve() for path in UNPACKED.glob(pattern))


def test_zsh_completes_commands_deployments_and_options(
    environment: dict[str, str], fraud: Any, tmp_path: Path
) -> None:
    program = shell("zsh")
    if UNPACKED in program.parents:  # it looks for its parts where Debian installs them
        modules, functions = unpacked("usr/lib/*/zsh/*"), [*unpacked("usr/share/zsh/functions/**/")]
        where = f"module_path=({' '.join(map(str, modules))})\nfpath=({' '.join(map(str, functions))})\n"
        (tmp_path / ".zshenv").write_text(where, encoding="utf-8")
    (tmp_path / ".zshrc").write_text("PS1='> '\nautoload -U compinit\ncompinit -u -D\n", encoding="utf-8")
    with Terminal([str(program), "-i", "-d"], environment | {"ZDOTDIR": str(tmp_path)}) as zsh:
        zsh.press('eval "$(sidecar completion zsh)"; echo re""ady\n')
        zsh.until("ready")
        pressed(zsh)
        zsh.press("\x15exit\n")
        assert zsh.end() == 0
    assert {call.path for call in fraud.calls} == {"/v1/deployments"}


def test_fish_completes_commands_deployments_and_options(environment: dict[str, str], fraud: Any) -> None:
    libraries = ":".join(str(path.parent) for path in unpacked("usr/lib/*/libpcre2-32.so.0"))
    with Terminal([str(shell("fish")), "--private"], environment | {"LD_LIBRARY_PATH": libraries}) as fish:
        fish.press("sidecar completion fish | source; echo re''ady\r")
        fish.until("ready")
        pressed(fish)
        fish.press("\x15exit\r")
        assert fish.end() == 0
    assert {call.path for call in fraud.calls} == {"/v1/deployments"}


def pressed(terminal: Terminal) -> None:
    """A promotion that is typed by Tab, as in bash."""
    terminal.press("sidecar prom\t")
    terminal.until("ote")
    terminal.press("fr\t")
    terminal.until("aud")
    terminal.press("4\t --rea\t")
    terminal.until("son")
