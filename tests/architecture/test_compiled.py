"""Source and extension are twins: the same tests run against both. Here: that each run has the twin that it means."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hatch_build
from tests.architecture.source_trees import ROOT, modules

# `make test` sets it for its second run, against build/compiled.
COMPILED_RUN = os.environ.get("SIDECAR_TWIN") == "compiled"
SOURCES = hatch_build.compiled_sources(ROOT)
NAMES = [name.removesuffix(".py").replace("/", ".") for name in SOURCES]
OF_EVERY_REQUEST = ("sidecar.wire.request_head", "sidecar.proxy.forward", "sidecar.proxy.mirror")


def kind_of(file: str) -> str:
    return "extension" if file.endswith(".so") else "source"


@pytest.mark.parametrize("name", NAMES)
def test_this_run_has_the_twin_that_it_means(name: str) -> None:
    file = importlib.import_module(name).__file__ or ""

    assert kind_of(file) == ("extension" if COMPILED_RUN else "source")
    assert Path(file).is_relative_to(ROOT / "build/compiled") == COMPILED_RUN


def test_a_worker_that_this_run_starts_has_it_too() -> None:
    code = f"import sys, sidecar.app.worker; print(*(sys.modules[name].__file__ for name in {OF_EVERY_REQUEST!r}))"
    started = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd="/", capture_output=True, text=True, timeout=180, check=True
    )
    assert {kind_of(file) for file in started.stdout.split()} == {"extension" if COMPILED_RUN else "source"}


def test_nothing_compiled_lies_beside_the_sources() -> None:
    packages = (ROOT / "sidecar", ROOT / "registry_client")

    assert [path for package in packages for path in package.rglob("*") if path.suffix in {".so", ".c", ".pyd"}] == []


def test_whatever_is_named_to_be_compiled_or_left_exists() -> None:
    assert [name for name in hatch_build.COMPILED if not (ROOT / name).exists()] == []
    assert [name for name in hatch_build.LEFT_AS_SOURCE if not (ROOT / name).is_file()] == []
    assert set(OF_EVERY_REQUEST) <= set(NAMES) <= modules().keys()


def test_a_wheel_is_pure_unless_it_is_asked_to_be_compiled(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HATCH_")}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, env=environment | {"CC": "no-such-compiler"}, timeout=180, check=True)
    (wheel,) = tmp_path.iterdir()

    assert wheel.name.endswith("-py3-none-any.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert set(SOURCES) <= set(inside)
    assert [name for name in inside if name.endswith(".so")] == []


def test_only_a_compiled_wheel_needs_more_than_hatchling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    pure = project["build-system"]["requires"]

    assert [re.split("[<>=]", need)[0] for need in pure] == ["hatchling"]
    assert hook["enable-by-default"] is False
    assert sorted([*pure, *hook["dependencies"]]) == project["dependency-groups"]["build"]


def test_the_build_is_locked_with_the_same_versions_as_the_tests() -> None:
    def pinned(lock: str) -> set[str]:
        text = (ROOT / "locks" / lock).read_text(encoding="utf-8")
        return set(re.findall(r"^([a-z0-9-]+==[^ ;]+)", text, re.MULTILINE))

    assert any(pin.startswith("mypy==") for pin in pinned("build.txt"))
    assert pinned("build.txt") <= pinned("test.txt")


def test_without_a_compiler_the_build_says_in_one_sentence_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O3")

    with pytest.raises(SystemExit) as ended:
        hatch_build.compile_extensions(ROOT, tmp_path)

    assert str(ended.value) == hatch_build.NO_COMPILER
    assert list(tmp_path.iterdir()) == []
