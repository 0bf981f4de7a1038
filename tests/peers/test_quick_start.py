"""README's quick start, as it stands, beside two real MLServers: a request that is scored, shadowed and compared."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.child import free_ports
from tests.docs.snippets import ROOT, of_kind, program_folder
from tests.peers.standing import STARTS_WITHIN_S, Environment
from tests.process.whole_sidecar import until

# What this machine has installed already.
INSTALLS = (
    "python3 -m venv .venv && .venv/bin/pip install .\n",
    "python3 -m venv .venv-mlserver && .venv-mlserver/bin/pip install mlserver mlserver-sklearn\n",
)
TRAINS = ".venv-mlserver/bin/python examples/mlserver/two_versions.py"
# Those of MLServer's calls and metrics that README does not name are in its settings.
PORTS = ("8000", "8001", "8080", "8081", "9000", "9001", "9100", "9101")


class Typed:
    """Who types the steps in a folder: all but installing, on ports that are free here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.settings,) = (each.text for each in of_kind("yaml") if each.document.name == "README.md")
        (self.steps,) = (each.text for each in of_kind("sh") if each.document.name == "README.md")
        self.ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.said = ""

    def prepare(self) -> None:
        """What cloning and installing leave."""
        (self.folder / "examples").symlink_to(ROOT / "examples")
        (self.folder / ".venv-mlserver").symlink_to(Environment("mlserver").bin.parent)
        activate = program_folder(self.folder / ".venv") / "activate"
        activate.write_text(f'PATH="{activate.parent}:$PATH"\n', encoding="utf-8")
        addresses = "listen: 127.0.0.1:8080\nadmin: {listen: 127.0.0.1:8081}\n"
        (self.folder / "config.yaml").write_text(self.here(self.settings + addresses), encoding="utf-8")

    def here(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(self.ports)})\b", lambda found: self.ports[found[0]], text)

    @contextlib.contextmanager
    def typed(self) -> Iterator[None]:
        """One shell in which everything was typed, but the last question; what it started ends with the context."""
        steps = self.steps
        for line in INSTALLS:
            assert line in steps, steps
            steps = steps.replace(line, "")
        steps, _, question = steps.rstrip().rpartition("\n")
        assert question.startswith("sidecar comparison "), question
        begin, trains, rest = steps.partition(TRAINS)
        assert (begin, trains) == ("", TRAINS)
        others = " ".join(rf"-e 's/\b{port}\b/{here}/'" for port, here in self.ports.items())
        script = f"{TRAINS}\nsed -i {others} fraud-?/settings.json\n: {self.here(rest)}\necho; echo typed\nwait\n"
        with (
            (self.folder / "out.txt").open("wb") as out,
            subprocess.Popen(
                ["bash", "-euc", script], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            ) as shell,
        ):  # fmt: skip
            try:
                until("every step", lambda: self._is_typed() or shell.poll() is not None, 2 * STARTS_WITHIN_S)
                assert self._is_typed(), self.said
                yield
            finally:
                os.killpg(shell.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    shell.wait(30)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)

    def _is_typed(self) -> bool:
        self.said = (self.folder / "out.txt").read_text(encoding="utf-8", errors="replace")
        return "\ntyped\n" in self.said

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(ROOT), "SIDECAR_URL": self.here("http://127.0.0.1:8081"), "COLUMNS": "200"}
        return os.environ | own | {"HOME": str(self.folder)}

    def ask(self, question: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f". .venv/bin/activate; {question}"], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=STARTS_WITHIN_S, check=False,
        )  # fmt: skip
        return done.stdout


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    steps = Typed(tmp_path_factory.mktemp("quick"))
    steps.prepare()
    with steps.typed():
        yield steps


def test_the_request_is_scored_by_the_champion(quick_start: Typed) -> None:
    for part in ("200 OK", "sidecar-version: 3", "sidecar-model: fraud", "x-request-id:", '"predict_proba"'):
        assert part in quick_start.said, quick_start.said
    assert "config.yaml: ok: 1 deployment, 1 challenger" in quick_start.said


def test_the_challenger_scored_its_copy_and_both_are_compared(quick_start: Typed) -> None:
    shown = until("a pair", lambda: _with_a_pair(quick_start.ask("sidecar comparison")), STARTS_WITHIN_S)
    assert "challenger 4 beside champion 3" in shown
    assert "100.00%" in shown, "they agree on it"


def test_the_gates_say_what_is_missing(quick_start: Typed) -> None:
    shown = until("a pair", lambda: _counted(quick_start.ask("sidecar gates; echo exit code $?")), STARTS_WITHIN_S)
    assert shown.endswith("exit code 1\n")


def _with_a_pair(shown: str) -> str:
    return shown if re.search(r"copies answered +1 .*pairs \(rows\) +1 ", shown, re.DOTALL) else ""


def _counted(shown: str) -> str:
    return shown if "1 of 5,000 pairs" in shown else ""
