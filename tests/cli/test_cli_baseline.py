"""Baselines: built from a file, stored beside a version, shown as a table."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_client import from_json, open_registry

Run = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    rows = [f"{n},{n / 7:.3f},{'de' if n % 3 else 'fr'},{n / 100:.2f},{n % 2}" for n in range(100)]
    path.write_text("\n".join(["id,amount,country,score,fraud", *rows]), encoding="utf-8")
    return path


def build(sidecar: Run, data: Path, *options: str) -> Any:
    columns = ("--prediction", "score", "--outcome", "fraud", "--exclude", "id")
    return sidecar("baseline", "build", str(data), *columns, *options)


def test_a_baseline_is_built_and_shown(sidecar: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"

    built = build(sidecar, data, "-o", str(path))

    baseline = from_json(path.read_bytes())
    assert (built.exit_code, built.stderr) == (0, "")
    assert built.stdout == f"{path}: 100 rows, 2 features, {baseline.digest}\n"
    assert [feature.name for feature in baseline.features] == ["amount", "country"]

    shown = sidecar("baseline", "show", str(path))
    words = " ".join(shown.stdout.split())
    assert shown.exit_code == 0
    assert re.search("amount numeric [▆▇█]{16} ", words)
    assert "0.00% 0 7.07143 14.143" in words
    assert "country categorical █▅ 0.00% – – – de, fr" in words
    assert "score (prediction)" in words
    assert "outcome fraud: 100 rows, 50.00% positive" in words


def test_with_a_registry_it_is_stored_beside_the_version(sidecar: Run, data: Path, tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/registry"
    asyncio.run(open_registry(uri).register("fraud", "3"))

    result = build(sidecar, data, "--registry", uri, "--model", "fraud", "--version", "3")

    stored = asyncio.run(open_registry(uri).baseline("fraud", "3"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert (stored.model, stored.version, stored.rows) == ("fraud", "3", 100)
    assert f"{uri} beside fraud version 3" in result.stdout
    assert stored.digest in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "say where the baseline goes"),
        (("-o", "x.json", "--model", "fraud"), "these two go together"),
        (("--registry", "file:./r"), "--registry needs --model and --version"),
        (("-o", "x.json", "--outcome", "frod"), "fraud"),
        (("--registry", "http://h", "--model", "m", "--version", "1"), "supported: file:"),
        (("--registry", "file:./r", "--model", "m", "--version", "1"), "m"),
        (("--registry", "mlflow+http://127.0.0.1:1", "--model", "m", "--version", "1"), "127.0.0.1:1"),
        (("-o", "missing/x.json"), "cannot be written: no such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    sidecar: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = build(sidecar, data, *options)

    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [data]


def test_a_data_file_that_is_not_there_is_one_sentence(sidecar: Run, tmp_path: Path) -> None:
    result = build(sidecar, tmp_path / "gone.csv", "-o", str(tmp_path / "x.json"))

    assert result.exit_code == 2
    assert "gone.csv" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"\xff", b'{"format": "sidecar-baseline/9"}', b"[" * 100_000])
def test_a_file_that_is_no_baseline_is_one_sentence(sidecar: Run, tmp_path: Path, document: bytes) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(document)

    result = sidecar("baseline", "show", str(path))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("path", [".", "gone.json"])
def test_a_baseline_that_cannot_be_read_is_one_sentence(
    sidecar: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert f"{path} cannot be read: " in sidecar("baseline", "show", path).stderr


def test_an_existing_baseline_is_replaced_whole(sidecar: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text("old", encoding="utf-8")

    build(sidecar, data, "-o", str(path))

    assert from_json(path.read_bytes()).rows == 100
    assert {found.name for found in tmp_path.iterdir()} == {"baseline.json", "data.csv"}
