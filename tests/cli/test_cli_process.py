"""Commands that start something: the right part is called, its exit code is ours, its refusal a sentence."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

CONFIG = """\
deployments:
  - name: fraud
    champion: {version: "3", url: "http://127.0.0.1:1"}
    challengers:
      - {version: "4", url: "http://127.0.0.1:2"}
      - {version: "5", url: "http://127.0.0.1:3"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def replace(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    parent, _, child = name.rpartition(".")
    monkeypatch.setattr(__import__(parent, fromlist=["x"]), child, module, raising=False)


def test_check_says_what_a_good_file_holds(sidecar: Run, config: Path) -> None:
    result = sidecar("check", "-c", str(config))

    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{config}: ok: 1 deployment, 2 challengers\n", "")


def test_check_names_every_fault_and_exits_with_2(sidecar: Run, config: Path) -> None:
    config.write_text("workers: 0\nlimit: 1\nupstream: http://h:1\n", encoding="utf-8")

    result = sidecar("check", "-c", str(config))

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{config}:1: workers: must be at least 1",
        f"{config}:2: limit: unknown key; did you mean limits?",
    ]


def test_run_starts_nothing_on_a_bad_file(sidecar: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch, "sidecar.supervisor", run=lambda *_: pytest.fail("started"))
    config.write_text("workers: 0\nupstream: http://h:1\n", encoding="utf-8")

    result = sidecar("run", "-c", str(config))

    assert (result.exit_code, result.stderr) == (2, f"{config}:1: workers: must be at least 1\n")


@pytest.mark.parametrize("code", [0, 1, 2])
def test_run_ends_with_the_supervisors_code(
    sidecar: Run, config: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    seen = []

    def run(path: Path) -> int:
        seen.append(path)
        return code

    replace(monkeypatch, "sidecar.supervisor", run=run)

    assert sidecar("run", "-c", str(config)).exit_code == code
    assert seen == [config]


def test_a_folder_that_cannot_be_made_is_a_sentence(
    sidecar: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(path: Path) -> int:
        raise PermissionError(13, "Permission denied", "/state")

    replace(monkeypatch, "sidecar.supervisor", run=run)

    result = sidecar("run", "-c", str(config))

    assert (result.exit_code, result.stderr) == (2, "the sidecar cannot start: permission denied (/state)\n")


def test_demo_passes_its_ports_on(sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def story(**given: Any) -> int:
        seen.update(given)
        return 1

    replace(monkeypatch, "sidecar.demo.story", main=story)

    assert sidecar("demo", "--once", "--port", "0", "--admin-port", "9").exit_code == 1
    assert seen == {"once": True, "port": 0, "admin_port": 9}


def test_a_model_that_cannot_be_served_is_a_sentence(sidecar: Run, tmp_path: Path) -> None:
    result = sidecar(
        "serve-model", str(tmp_path / "gone.onnx"), "--name", "m", "--version", "1", "--listen", "127.0.0.1:0"
    )

    assert result.exit_code == 2
    assert "gone.onnx" in result.stderr
    assert result.stderr.count("\n") == 1


def test_serve_model_passes_its_options_on(sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("sidecar.model_server.run_model_server", lambda *given: seen.append(given))

    assert sidecar("serve-model", "m.onnx", "--name", "m", "--version", "1", "--listen", "h:1").exit_code == 0
    assert seen == [(Path("m.onnx"), "m", "1", "h:1")]
