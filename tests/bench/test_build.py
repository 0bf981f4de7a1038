"""Which build of the sidecar is measured, and what cannot be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench import build
from bench.build import NotUsable, builds, is_compiled, stale_sources


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source tree and one that was compiled from it."""
    root, compiled = tmp_path / "root", tmp_path / "compiled"
    for tree in (root, compiled):
        (tree / "sidecar" / "proxy").mkdir(parents=True)
        (tree / "sidecar" / "proxy" / "forward.py").write_text("x = 1\n")
    monkeypatch.setattr(build, "ROOT", root)
    monkeypatch.setattr(build, "COMPILED", compiled)
    return root, compiled


def test_what_is_compiled_is_measured_and_pure_python_beside_it(trees: tuple[Path, Path]) -> None:
    root, compiled = trees
    ships, pure = builds(None)
    assert (ships.python, ships.path) == (sys.executable, str(compiled))
    assert pure is not None
    assert pure.path == str(root)
    assert ships.environment()["PYTHONPATH"] == str(compiled)
    assert ships.command("sidecar.cli", "run") == [sys.executable, "-m", "sidecar.cli", "run"]


def test_without_a_compiled_build_pure_python_is_what_ships(
    tmp_path: Path, trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "COMPILED", tmp_path / "nowhere")
    ships, pure = builds(None)
    assert ships.path == str(trees[0])
    assert pure is None


@pytest.mark.parametrize("change", ["x = 2\n", None])
def test_a_build_of_other_sources_is_refused(trees: tuple[Path, Path], change: str | None) -> None:
    root, compiled = trees
    if change is None:
        (compiled / "sidecar" / "proxy" / "forward.py").unlink()
    else:
        (root / "sidecar" / "proxy" / "forward.py").write_text(change)
    assert stale_sources(root, compiled) == ["sidecar/proxy/forward.py"]
    with pytest.raises(NotUsable, match=r"before sidecar/proxy/forward\.py changed: make compiled"):
        builds(None)


@pytest.mark.usefixtures("trees")
@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false"])
def test_an_interpreter_that_does_not_run_is_refused(python: str) -> None:
    with pytest.raises(NotUsable, match="does not run"):
        builds(python)


@pytest.mark.usefixtures("trees")
def test_an_interpreter_with_everything_needs_no_packages_of_ours() -> None:
    ships, _ = builds(sys.executable)
    assert ships.path == str(build.COMPILED)


def test_a_process_without_the_compiled_library_is_pure() -> None:
    assert is_compiled(os.getpid()) is False


def test_the_hint_is_for_those_who_did_not_choose() -> None:
    assert build.hint(sys.executable) == ""
