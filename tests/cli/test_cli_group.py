"""The program itself: fast help, one sentence for a wrong call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.cli import main

Run = Callable[..., Any]
HEAVY = (
    "numpy",
    "pydantic",
    "aiohttp",
    "rich",
    "msgspec",
    "yaml",
    "sqlalchemy",
    "onnxruntime",
    "http.client",
    "asyncio",
)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['sidecar', '--help']\n"
        "from sidecar.cli import main\n"
        "try: main()\n"
        f"finally: print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=False)

    assert done.returncode == 0
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "run", "check", "demo", "serve-model", "status", "gates", "comparison", "label-queue", "drift", "alarms",
        "promote", "rollback", "outcomes", "audit", "baseline",
    ],
)  # fmt: skip
def test_every_command_is_listed_and_has_its_own_help(sidecar: Run, name: str) -> None:
    assert f"\n  {name} " in sidecar("--help").stdout
    shown = sidecar(name, "--help")
    assert shown.exit_code == 0
    assert f"Usage: sidecar {name}" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["promot"], "there is no command promot; did you mean promote? (see `sidecar --help`)\n"),
        (["xyzzy"], "there is no command xyzzy (see `sidecar --help`)\n"),
        (["promote", "fraud"], "missing argument 'VERSION' (see `sidecar promote --help`)\n"),
        (["promote", "fraud", "4"], "missing option '--reason' (see `sidecar promote --help`)\n"),
        (["drift", "--against", "x"], "(see `sidecar drift show --help`)\n"),
        (["audit", "--limit", "0"], "(see `sidecar audit --help`)\n"),
        (["status", "--frobnicate"], "(see `sidecar status --help`)\n"),
        (["demo", "--port", "70000"], "(see `sidecar demo --help`)\n"),
        (["promote", "fraud", "4", "--reason", "\udcff"], "that are not UTF-8 text; type it anew\n"),
        (["rollback", "\udcff", "--reason", "why"], "that are not UTF-8 text; type it anew\n"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(sidecar: Run, arguments: list[str], says: str) -> None:
    result = sidecar(*arguments)

    assert result.exit_code == 2
    assert result.stderr.endswith(says)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_no_arguments_show_the_help(sidecar: Run) -> None:
    result = sidecar()

    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_the_version_is_told(sidecar: Run) -> None:
    assert sidecar("--version").stdout.startswith("sidecar 0.")


def test_without_standalone_mode_faults_reach_the_caller() -> None:
    with pytest.raises(Exception, match="no command"):
        main(["xyzzy"], standalone_mode=False)


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar.cli", "check", "-c", "/nonexistent.yaml"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (2, "/nonexistent.yaml: there is no such file\n")


def test_a_terminal_without_such_letters_gets_a_question_mark_not_a_traceback(fraud: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar.cli", "alarms", "--url", fraud.url],
        capture_output=True, text=True, timeout=180, check=False, env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "amount is ?0.01" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback(fraud: Any) -> None:
    script = f"{sys.executable} -m sidecar.cli status --url {fraud.url} | true"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=180, check=False)

    assert "Traceback" not in done.stderr
