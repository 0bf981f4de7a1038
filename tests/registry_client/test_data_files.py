from __future__ import annotations

from pathlib import Path

import pytest

from registry_client.data_files import data_files
from registry_client.errors import InvalidDocument, NotFound, RegistryError

NAMES = ("b.parquet", "a.PARQUET", "sub/c.pq", "sub/_temporary/d.parquet", ".e.parquet", "_SUCCESS", "notes.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "data"


def names(files: tuple[Path, ...]) -> list[str]:
    return [file.name for file in files]


def test_a_folder_is_all_readable_files_in_it_at_any_depth(folder: Path) -> None:
    assert names(data_files(folder)) == ["a.PARQUET", "b.parquet", "c.pq"]
    assert data_files(str(folder)) == data_files(folder)


def test_a_glob_may_name_files_and_folders(folder: Path) -> None:
    assert names(data_files(folder / "*.parquet")) == ["b.parquet"]
    assert names(data_files(str(folder / "**" / "*.pq"))) == ["c.pq"]
    assert names(data_files(str(folder.parent / "d*"))) == ["a.PARQUET", "b.parquet", "c.pq"]


def test_a_file_named_twice_is_there_once(folder: Path) -> None:
    again = folder / "sub" / ".." / "b.parquet"
    assert names(data_files([folder, folder / "b.parquet", again])) == ["a.PARQUET", "b.parquet", "c.pq"]


def test_a_name_that_exists_is_no_pattern(tmp_path: Path) -> None:
    for name in ("a[1].csv", "a1.csv"):
        (tmp_path / name).write_text("")
    assert names(data_files(tmp_path / "a[1].csv")) == ["a[1].csv"]


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        ("none.csv", NotFound, "there is no file"),
        ("*.csv", NotFound, "no file matches"),
        ("empty", NotFound, "no CSV or Parquet file in the folder"),
        ("a.txt", InvalidDocument, "must end in one of .csv"),
        (["a.csv", "b.parquet"], InvalidDocument, "some of the files are CSV and others Parquet"),
        ("mixed", InvalidDocument, "some of the files are CSV and others Parquet"),
        ([], NotFound, "no file was named"),
    ],
)
def test_what_is_not_there_or_will_not_do_is_refused(
    tmp_path: Path, data: str | list[str], error: type[RegistryError], reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for name in ("a.txt", "a.csv", "b.parquet", "mixed/a.csv", "mixed/b.pq"):
        (tmp_path / name).write_text("")
    if "*.csv" in data:
        (tmp_path / "a.csv").unlink()
    named = tmp_path / data if isinstance(data, str) else [tmp_path / name for name in data]
    with pytest.raises(error, match=reason):
        data_files(named)
