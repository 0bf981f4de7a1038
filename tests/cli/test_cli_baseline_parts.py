"""Baselines of many files: folders, patterns, parts that are merged, and what is said when they will not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from registry_client import from_json, open_registry
from registry_client.summary import Summary

Run = Callable[..., Any]
ROLES = ("--prediction", "score", "--outcome", "fraud", "--time", "at")


def rows_of(day: int) -> list[str]:
    return [
        f"2026-01-{day:02d},{(day * 37 + n) / 7:.3f},{'de' if n % 3 else 'fr'},{n / 60:.3f},{n % 2}" for n in range(60)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six days of rows, a file each."""
    folder = tmp_path / "training"
    folder.mkdir()
    for day in range(1, 7):
        path = folder / f"day-{day}.csv"
        path.write_text("\n".join(["at,amount,country,score,fraud", *rows_of(day)]) + "\n", encoding="utf-8")
    return folder


def content(path: Path) -> Any:
    """A baseline but for when it was built, what it was built from, and the digest over these."""
    baseline = from_json(path.read_bytes())
    return (
        baseline.rows,
        baseline.features,
        baseline.prediction,
        baseline.outcome,
        baseline.time,
        baseline.calibration,
    )


def test_a_folder_a_pattern_and_a_list_of_files_give_one_baseline(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    files = sorted(map(str, folder.iterdir()))
    found = []
    for number, data in enumerate(([str(folder)], [f"{folder}/day-*.csv"], files, files[::-1])):
        path = tmp_path / f"{number}.json"
        built = sidecar("baseline", "build", *data, *ROLES, "-o", str(path))
        assert (built.exit_code, built.stderr) == (0, "")
        assert "360 rows, 2 features" in built.stdout
        found.append(content(path))

    assert found[0][0] == 360
    assert all(one == found[0] for one in found)


def test_parts_merged_in_any_order_give_the_baseline_of_all_rows(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    sidecar("baseline", "build", str(folder), *ROLES, "-o", str(whole))
    parts = []
    for path in sorted(folder.iterdir()):
        part = tmp_path / f"{path.stem}.part"
        built = sidecar("baseline", "build", str(path), *ROLES, "--partial", "-o", str(part))
        assert (built.exit_code, built.stderr) == (0, "")
        assert f"{part}: a part of 60 rows" in built.stdout
        parts.append(str(part))

    first, second, merged = (str(tmp_path / name) for name in ("first.part", "second.part", "merged.json"))
    assert sidecar("baseline", "merge", *parts[:2], "--partial", "-o", first).exit_code == 0
    assert sidecar("baseline", "merge", *parts[:1:-1], "--partial", "-o", second).exit_code == 0
    done = sidecar("baseline", "merge", second, first, "-o", merged)

    assert (done.exit_code, done.stderr) == (0, "")
    assert "360 rows, 2 features, sha256:" in done.stdout
    assert content(Path(merged)) == content(whole)
    assert from_json(Path(merged).read_bytes()).source == from_json(whole.read_bytes()).source


def test_a_merged_baseline_is_stored_beside_its_version(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/registry"
    asyncio.run(open_registry(uri).register("fraud", "3"))
    part = str(tmp_path / "a.part")
    sidecar("baseline", "build", str(folder), "--partial", "-o", part)

    done = sidecar("baseline", "merge", part, "--registry", uri, "--model", "fraud", "--version", "3")

    stored = asyncio.run(open_registry(uri).baseline("fraud", "3"))
    assert (done.exit_code, stored.model, stored.version, stored.rows) == (0, "fraud", "3", 360)


def test_a_version_that_is_not_there_is_told_before_the_data_is_read(sidecar: Run, tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/registry"
    asyncio.run(open_registry(uri).register("fraud", "2"))
    registry = ("--registry", uri, "--model", "fraud", "--version", "3")

    result = sidecar("baseline", "build", str(tmp_path / "gone.csv"), *registry)

    assert result.exit_code == 2
    assert "fraud" in result.stderr
    assert "gone.csv" not in result.stderr


def test_parts_of_other_columns_or_of_the_same_file_are_not_merged(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("at,other\n2026-01-01,1.5\n", encoding="utf-8")
    first, second, twice = (str(tmp_path / name) for name in ("1.part", "2.part", "3.part"))
    sidecar("baseline", "build", str(folder / "day-1.csv"), "--partial", "-o", first)
    sidecar("baseline", "build", str(other), "--partial", "-o", second)
    sidecar("baseline", "build", str(folder), "--partial", "-o", twice)

    for parts, says in (((first, second), "column"), ((first, twice), "day-1.csv")):
        result = sidecar("baseline", "merge", *parts, "-o", str(tmp_path / "x.json"))
        assert result.exit_code == 2
        assert says in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("document", [b"", b"{}", b"\x1f\x8b", b"\xff" * 100, b"[" * 100_000])
def test_a_file_that_is_no_part_is_one_sentence(sidecar: Run, tmp_path: Path, document: bytes) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(document)

    result = sidecar("baseline", "merge", str(path), "-o", str(tmp_path / "x.json"))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}: ")
    assert result.stderr.count("\n") == 1


def test_a_cut_part_is_refused(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    sidecar("baseline", "build", str(folder), "--partial", "-o", str(part))
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])

    assert sidecar("baseline", "merge", str(part), "-o", str(tmp_path / "x.json")).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("merge", "gone.part", "-o", "x.json"), "gone.part cannot be read: no such file or directory"),
        (("merge", "gone.part"), "say where the baseline goes"),
        (("merge",), "missing argument"),
        (("build", "-o", "x.json"), "missing argument"),
        (("build", "a.csv", "--partial"), "a part goes into a file, with -o"),
        (("build", "a.csv", "--partial", "-o", "x", "--model", "m", "--version", "1"), "only a whole baseline"),
        (("build", "none-*.csv", "-o", "x.json"), "none-*.csv"),
        (("build", ".", "-o", "x.json"), "."),
        (("build", "a.csv", "-o", "."), "is a directory"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    sidecar: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = sidecar("baseline", *arguments)

    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_bad_column_is_told_at_once_a_sentence_each(sidecar: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"amount": [1.5, 2.5, 3.5], "vector": [[1, 2]] * 3, "place": [{"x": 1.0}] * 3}
    import_module("pyarrow.parquet").write_table(import_module("pyarrow").table(columns), path)

    result = sidecar("baseline", "build", str(path), "-o", str(tmp_path / "x.json"))

    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert len(lines) == 2
    assert "vector" in lines[0]
    assert "place" in lines[1]


def test_a_part_is_what_the_library_makes(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    sidecar("baseline", "build", str(folder), *ROLES, "--partial", "-o", str(part))

    summary = Summary.from_bytes(part.read_bytes())

    assert summary.rows == 360
    assert [name for name, _ in summary.sources] == [f"day-{day}.csv" for day in range(1, 7)]
