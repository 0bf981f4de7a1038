"""Completion as a person has it: Tab in a real bash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.terminal import Terminal

Run = Callable[..., Any]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with `sidecar` in it."""
    path = tmp_path / "sidecar"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m sidecar.cli "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return tmp_path


def test_bash_completes_commands_options_deployments_and_versions(fraud: Any, program: Path) -> None:
    environment = {"PATH": f"{program}:/usr/bin:/bin", "PS1": "> ", "SIDECAR_URL": fraud.url, "INPUTRC": "/dev/null"}
    with Terminal(["bash", "--norc", "--noprofile", "-i"], environment) as bash:
        bash.press('eval "$(sidecar completion bash)"; echo re""ady\n')
        bash.until("ready")
        bash.press("sidecar prom\t")
        bash.until("promote ")
        bash.press("fr\t")
        bash.until("aud ")
        bash.press("4\t --rea\t")
        bash.until("--reason ")
        bash.press("\x15sidecar completion z\t")
        bash.until("zsh ")
        bash.press("\x15sidecar st\t")
        bash.until("atus ")
        bash.press("\x15exit\n")
        assert bash.end() == 0
    assert {call.path for call in fraud.calls} == {"/v1/deployments"}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sidecar pro", ["promote"]),
        ("sidecar gates ", ["fraud"]),
        ("sidecar gates fraud --challenger ", ["4"]),
        ("sidecar rollback fraud --to ", ["4"]),
        ("sidecar promote other ", []),
        ("sidecar alarms acknowledge ", ["a1"]),
        ("sidecar drift fr", ["fraud"]),
        ("sidecar gates --url http://127.0.0.1:1 ", []),
    ],
)
def test_what_is_offered(fraud: Any, sidecar: Run, words: str, offered: list[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("_SIDECAR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    result = sidecar()
    assert [line.removeprefix("plain,") for line in result.stdout.splitlines() if line] == offered
    assert result.stderr == ""


def test_a_sidecar_that_is_away_or_odd_offers_nothing_and_says_nothing(
    api: Any, sidecar: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SIDECAR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "sidecar gates ")
    monkeypatch.setenv("COMP_CWORD", "2")
    odd: tuple[Any, ...] = ([], {"items": 3}, {"items": [3, {"name": None, "champion": 3, "challengers": 3}]})
    for document in odd:
        api.answer("/v1/deployments", document)
        result = sidecar()
        assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(("shell", "holds"), [("zsh", "#compdef sidecar"), ("fish", "complete --no-files --command")])
def test_other_shells_have_theirs(sidecar: Run, shell: str, holds: str) -> None:
    result = sidecar("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert holds in result.stdout


def test_completing_a_command_imports_none() -> None:
    script = (
        "import sys\nfrom sidecar.cli import main\n"
        "try: main(prog_name='sidecar')\nfinally: print('msgspec' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=180,
        env={"_SIDECAR_COMPLETE": "bash_complete", "COMP_WORDS": "sidecar pro", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plain,promote", "False"]
