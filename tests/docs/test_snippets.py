"""What the documents show is true: commands run, settings are taken, programs work; what cannot run here says why."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from registry_client.directory import DirectoryRegistry
from sidecar.cli import main
from sidecar.config_file import load
from tests.docs.snippets import ROOT, Snippet, commands, of_kind, program_folder, snippets

KINDS = {"sh", "python", "yaml", "json", "text", "mermaid"}
# What tests/peers/test_quick_start.py types, beside a real model server.
QUICK_START = ROOT / "README.md"
# What only a reader's own machines have, and what stands for it here.
INSTEAD = {"mlflow+http://mlflow:5000": "file:./registry"}
LIMIT_S = 300.0
# Runs each text as one program, `await` outside of functions included, as a notebook does.
NOTEBOOK = """
import ast, asyncio, inspect, json, sys
names = {"__name__": "__main__"}
async def run():
    for source in json.load(sys.stdin):
        code = compile(source, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)
        else:
            await asyncio.to_thread(exec, code, names)
asyncio.run(run())
"""


def by_document(kind: str) -> list[Any]:
    found: dict[Path, list[Snippet]] = {}
    for snippet in of_kind(kind):
        found.setdefault(snippet.document, []).append(snippet)
    return [pytest.param(each, id=document.name) for document, each in found.items() if document != QUICK_START]


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder as the documents take it for granted: training data, days of it, a registry, gates."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    amounts = [float(1 + number % 97) for number in range(1_000)]
    table = pa.table(
        {
            "amount": amounts,
            "country": [("DE", "FR", "AT")[number % 3] for number in range(1_000)],
            "customer_id": list(range(1_000)),
            "score": [amount / 100 for amount in amounts],
            "fraud": [int(amount > 80) for amount in amounts],
            "booked_at": [begun + timedelta(minutes=30 * number) for number in range(1_000)],
        }
    )
    (tmp_path / "training").mkdir()
    for name in ("training.parquet", "day-01.parquet", "day-02.parquet", "training/day-01.parquet"):
        pq.write_table(table, tmp_path / name)
    pyarrow.csv.write_csv(table, tmp_path / "training.csv")
    (tmp_path / "model.onnx").write_bytes(b"a model")
    (tmp_path / "gates.yaml").write_text("gates: {pairs: {min: 100}}\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
async def registry(bench: Path) -> None:
    """Version 4 of fraud, with the alias `challenger`."""
    folder = DirectoryRegistry(bench / "registry")
    await folder.register("fraud", "4", artifact=bench / "model.onnx", lineage={"data": "payments-2025-11"})
    await folder.set_alias("fraud", "challenger", "4")
    await folder.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`sidecar` on the path, whatever is installed."""
    path = f"{program_folder(tmp_path)}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def test_every_snippet_has_a_kind_and_runs_or_says_why_not() -> None:
    for snippet in snippets():
        assert snippet.kind in KINDS, f"{snippet.place}: what kind is it? `text` is no program"
        assert len(snippet.why_not) > 8 or not snippet.why_not, snippet.place
    counts = {kind: len(of_kind(kind)) for kind in KINDS}
    assert counts["yaml"] > 7
    assert counts["python"] > 3
    assert counts["sh"] > 3


@pytest.mark.parametrize("told", by_document("sh"))
@pytest.mark.usefixtures("registry")
def test_commands_run(told: list[Snippet], bench: Path, environment: dict[str, str]) -> None:
    script = instead("\n".join(snippet.text for snippet in told))
    done = subprocess.run(
        ["bash", "-eu"], input=script, cwd=bench, env=environment, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (told[0].place, done.stderr)


@pytest.mark.parametrize("told", by_document("python"))
@pytest.mark.usefixtures("registry")
def test_programs_run(told: list[Snippet], bench: Path, environment: dict[str, str]) -> None:
    texts = json.dumps([instead(snippet.text) for snippet in told])
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], input=texts, cwd=bench, env=environment, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (told[0].place, done.stderr)


@pytest.mark.parametrize("snippet", of_kind("yaml"), ids=lambda snippet: snippet.place)
def test_settings_are_taken(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(snippet.text)
    monkeypatch.setenv("SIDECAR_EVENTS_SECRET", "a secret of some length, as one should be")
    monkeypatch.setenv("OTLP_HEADERS", "authorization=Bearer%20x")
    document.setdefault("deployments", [{"name": "fraud", "champion": {"version": "3", "url": "http://127.0.0.1:1"}}])
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document).replace("/var/log/sidecar", str(tmp_path)), encoding="utf-8")
    assert load(path).deployments[0].name == "fraud"


@pytest.mark.parametrize("snippet", of_kind("json"), ids=lambda snippet: snippet.place)
def test_json_is_json(snippet: Snippet) -> None:
    for line in snippet.text.splitlines():
        json.loads(line)


def test_every_command_that_is_named_is_one_with_these_options(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    told = commands()
    assert len(told) > 60
    wrong = [f"{place}: {command}: {fault}" for place, command in told if (fault := fault_of(command))]
    assert wrong == []


def instead(text: str) -> str:
    for shown, here in INSTEAD.items():
        text = text.replace(shown, here)
    return text


def fault_of(command: str) -> str:
    """Why the program would not understand it; what is left out, since a sentence only names it, is no fault."""
    words = shlex.split(command.replace("…", "x"))[1:]
    try:
        _understand(main, "sidecar", words, None)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError, click.exceptions.Exit):
        return ""
    except click.BadParameter as fault:
        placeholder = any(word.strip("[]").isupper() for word in words)  # SHELL, ENTRY
        return "" if placeholder else fault.format_message()
    except click.UsageError as fault:
        return fault.format_message()
    return ""


def _understand(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    """Reads a command's words, and those of what it leads to, without doing anything."""
    context = command.make_context(name, words, parent)
    rest = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and rest:
        name_there, following, words = command.resolve_command(context, rest)
        if following is not None:
            _understand(following, str(name_there), words, context)
