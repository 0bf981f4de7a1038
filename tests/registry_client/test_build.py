from __future__ import annotations

import sys
from datetime import UTC, datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from registry_client.baseline import TimeBlocks, from_json, to_json
from registry_client.build import build_from_file
from registry_client.cells import TAIL_LIMIT
from registry_client.errors import BadColumns, InvalidDocument, NotFound, RegistryError
from registry_client.from_columns import build_baseline
from registry_client.summary import Summary, merge, summarise
from registry_client.text_counts import TEXT_COUNT_LIMIT

pa: Any = import_module("pyarrow")  # it ships no types
pq: Any = import_module("pyarrow.parquet")

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def columns() -> dict[str, list[Any]]:
    generator = np.random.default_rng(1)
    size = 1_000
    return {
        "amount": generator.lognormal(3, 1, size).round(2).tolist(),
        "items": generator.poisson(3, size).tolist(),
        "flag": [None if value == 2 else value for value in generator.integers(0, 3, size).tolist()],
        "country": generator.choice(["DE", "FR", "it's", 'a "quote"', "x,y"], size).tolist(),
        "known": [bool(value) for value in generator.integers(0, 2, size)],
        "odd \"name';": [None, *generator.normal(size=size - 1).tolist()],
        "score": generator.random(size).tolist(),
        "fraud": generator.integers(0, 2, size).tolist(),
        "nothing": [None] * size,
    }


def written(path: Path, values: dict[str, list[Any]]) -> Path:
    """The columns as a file of the suffix's format, through the peer that will read it."""
    with duckdb.connect() as connection:
        rows = list(zip(*values.values(), strict=True))
        kinds = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
        declared = []
        for name, column in values.items():
            first = next((value for value in column if value is not None), "")
            declared.append(f'"{name.replace(chr(34), chr(34) * 2)}" {kinds[type(first)]}')
        connection.execute(f"CREATE TABLE t ({', '.join(declared)})")
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(values))})", rows)
        connection.execute("COMMIT")
        target = str(path).replace("'", "''")
        connection.execute(f"COPY t TO '{target}' (FORMAT {'parquet' if path.suffix == '.parquet' else 'csv, HEADER'})")
    return path


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("file", ["data.parquet", "data.csv", "it's a [1] file.csv", "it's a [1] file.parquet"])
def test_a_file_gives_the_baseline_of_its_columns(tmp_path: Path, file: str) -> None:
    path = written(tmp_path / file, columns())
    built = build_from_file(path, prediction="score", outcome="fraud", now=NOW)
    expected = build_baseline(columns(), prediction="score", outcome="fraud", now=NOW)
    assert built.features == expected.features
    assert (built.prediction, built.outcome, built.rows) == (expected.prediction, expected.outcome, expected.rows)
    assert built.source.name == file
    assert built.source.digest == f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    assert from_json(to_json(built)) == built


def test_the_time_column_and_excluded_ones_are_left_out_and_progress_is_told(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "t,a,b,vector\n" + "2026-01-01,1.5,x,1\n2026-01-03,2.5,y,2\n" * 200_000)
    told: list[tuple[int, int]] = []
    built = build_from_file(path, time="t", exclude=("vector",), progress=lambda *done: told.append(done))
    assert [feature.name for feature in built.features] == ["a", "b"]
    assert built.time == TimeBlocks("t", blocks=2, days_per_block=1, first_day="2026-01-01", last_day="2026-01-03")
    assert (told[0], told[-1]) == ((0, 400_000), (400_000, 400_000))
    assert len(told) > 2
    assert told == sorted(told)


def test_a_text_late_in_a_long_file_makes_the_column_categorical(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 60_000 + "x,2\n")
    built = build_from_file(path)
    assert built.by_name["a"].categories == ("1",)
    assert built.by_name["a"].tail == ("x",)


def test_of_more_texts_than_can_be_known_the_rest_counts_as_never_seen(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "id,a\n" + "".join(f"u{number},1\n" for number in range(12_000)))
    feature = build_from_file(path).by_name["id"]
    unseen = feature.cells.unseen_index
    assert unseen is not None
    assert feature.counts[unseen] == 12_000 - 30 - TAIL_LIMIT
    assert sum(feature.counts) == 12_000
    assert not feature.categories_sampled


def test_of_more_texts_than_can_be_counted_a_sample_is_known(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "id\n" + "".join(f"u{number}\n" for number in range(TEXT_COUNT_LIMIT + 1)))
    built = build_from_file(path)
    assert built.features[0].categories_sampled
    assert from_json(to_json(built)) == built


def test_decimals_dates_and_nested_columns_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT CAST(i AS DECIMAL(10,2)) / 4 AS price, CAST(i AS DECIMAL(10,2)) AS exact, "
            "DATE '2026-01-01' AS day, CAST(i AS UTINYINT) AS small, 'NaN'::DOUBLE AS nan, [i, i] AS vector "
            f"FROM range(5) t(i)) TO '{path}' (FORMAT parquet)"
        )
    with pytest.raises(InvalidDocument, match=r"column 'vector' is of type .* exclude it"):
        build_from_file(path)
    built = build_from_file(path, exclude=("vector",))
    kinds = {feature.name: feature.kind for feature in built.features}
    assert kinds == {
        "price": "numeric",
        "exact": "numeric",
        "day": "categorical",
        "small": "numeric",
        "nan": "categorical",
    }
    assert built.by_name["nan"].missing == 5
    assert built.by_name["day"].categories == ("2026-01-01",)


@pytest.mark.parametrize(
    ("name", "content", "options", "error", "reason"),
    [
        ("none.csv", None, {}, NotFound, "no file"),
        ("a.txt", b"a,b\n1,2\n", {}, InvalidDocument, "must end in"),
        ("a.csv", b"t,b\nsoon,2\n", {"time": "t"}, InvalidDocument, "column 't' holds texts that are no times"),
        ("a.csv", b"a,b\n1,2\n", {"time": "a", "exclude": ("b",)}, InvalidDocument, "at least one column"),
        ("a.csv", b"a,b\n", {}, InvalidDocument, "no rows"),
        ("a.csv", b"", {}, InvalidDocument, "a.csv"),
        ("a.parquet", b"this is no parquet file", {}, InvalidDocument, "cannot be read"),
        ("a.parquet", b"", {}, InvalidDocument, "cannot be read"),
        ("a.csv", b"amount,b\n1,2\n", {"prediction": "amuont"}, InvalidDocument, "did you mean 'amount'"),
        ("a.csv", b"amount,b\n1,2\n", {"time": "zzz"}, InvalidDocument, "there are: amount, b"),
        ("a.csv", b"amount,b\n1,2\n", {"time": "b", "outcome": "b"}, InvalidDocument, "two roles"),
        ("a.csv", b'a,b\n1,2\n"open', {}, InvalidDocument, "a.csv"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, options: dict[str, Any], error: type[RegistryError], reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=reason) as caught:
        build_from_file(tmp_path / name, **options)
    assert "\n" not in str(caught.value)


def halves(folder: Path, suffix: str) -> tuple[Path, Path]:
    (folder / "day=2").mkdir(parents=True)
    first = {name: column[:300] for name, column in columns().items()}
    second = {name: column[300:] for name, column in columns().items()}
    second["odd \"name';"][0] = 0.5
    return written(folder / f"part-0.{suffix}", first), written(folder / "day=2" / f"part-1.{suffix}", second)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_folder_a_glob_and_a_list_give_the_baseline_of_all_rows(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "rows"
    first, second = halves(folder, suffix)
    (folder / "_SUCCESS").write_text("")
    (folder / f".hidden.{suffix}").write_text("")
    whole = columns()
    whole["odd \"name';"][300] = 0.5
    options: dict[str, Any] = {"prediction": "score", "outcome": "fraud"}
    expected = build_baseline(whole, **options, now=NOW)
    built = build_from_file(folder, **options, now=NOW)
    assert (built.features, built.prediction, built.outcome) == (
        expected.features,
        expected.prediction,
        expected.outcome,
    )
    assert built.source.files == 2
    assert built.source.name == f"2 files, part-0.{suffix} to part-1.{suffix}"
    lines = "".join(sorted(f"{sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in (first, second)))
    assert built.source.digest == f"sha256:{sha256(lines.encode()).hexdigest()}"
    assert build_from_file(str(folder / "**" / f"*.{suffix}"), **options, now=NOW) == built
    assert build_from_file([second, str(first)], **options, now=NOW) == built


@pytest.mark.parametrize("time", [None, "at"])
def test_two_halves_built_apart_and_merged_equal_one_build(tmp_path: Path, time: str | None) -> None:
    days = [f"2026-01-{1 + number % 28:02}T12:00:00" for number in range(1_000)]
    whole = columns() | {"at": days}
    first = written(tmp_path / "a.parquet", {name: column[:400] for name, column in whole.items()})
    second = written(tmp_path / "b.parquet", {name: column[400:] for name, column in whole.items()})
    options: dict[str, Any] = {"prediction": "score", "outcome": "fraud", "time": time}
    parts = [summarise(path, **options).to_bytes() for path in (second, first)]
    merged = merge(Summary.from_bytes(part) for part in parts)
    built = build_from_file(tmp_path, **options, now=NOW)
    assert to_json(merged.baseline(now=NOW)) == to_json(built)
    with pytest.raises(ValueError, match=r"'a\.parquet' .* is counted in two"):
        merge([merged, summarise(first, **options)])


def test_files_with_different_columns_are_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", {"a": [1.5], "b": [2], "c": [1]})
    written(tmp_path / "b.parquet", {"a": [1.5], "d": [2], "c": [1]})
    with pytest.raises(BadColumns) as caught:
        build_from_file(tmp_path, time="c")
    assert caught.value.faults == (
        "b.parquet has no column 'b', which others have",
        "b.parquet has a column 'd', which others have not",
    )


def test_a_column_of_csv_files_has_the_type_of_its_values_in_all_of_them(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "a,b\n1,2\n2,2.5\n3,4\n")
    csv(tmp_path / "b.csv", "a,b\nx,7\n")
    built = build_from_file(tmp_path, now=NOW)
    assert [feature.kind for feature in built.features] == ["categorical", "numeric"]
    merged = merge([summarise(tmp_path / "b.csv"), summarise(tmp_path / "a.csv")])
    assert merged.baseline(now=NOW) == built


def test_csv_files_of_different_headers_are_refused(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "a,b\n1,2\n")
    csv(tmp_path / "b.csv", "b,a\n1,2\n")
    with pytest.raises(InvalidDocument, match=r"b\.csv does not begin with the same line of column names as a\.csv"):
        build_from_file(tmp_path)


def test_all_bad_columns_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": [[1]], "x": [1.5], "s": [{"a": 1}], "bytes": [b"1"]}), path)
    with pytest.raises(BadColumns, match=r"a\.parquet: ") as caught:
        build_from_file(path)
    assert [fault.split("'")[1] for fault in caught.value.faults] == ["v", "s", "bytes"]
    assert all("which has no distribution to keep; exclude it" in fault for fault in caught.value.faults)


def test_a_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"a": [number / 7 for number in range(5_000)]})
    data = bytearray(path.read_bytes())
    data[40:2_000] = bytes(1_960)
    path.write_bytes(data)
    with pytest.raises(InvalidDocument, match=r"a\.parquet cannot be read"):
        build_from_file(path)


@pytest.mark.parametrize("library", ["duckdb", "pyarrow"])
def test_without_a_library_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(RegistryError, match=r"install 'serving-sidecar\[baseline\]'"):
        build_from_file(csv(tmp_path / "a.csv", "a\n1\n"))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    build_from_file(csv(tmp_path / "a.csv", "a,b\n1,2\n"))
    with pytest.raises(InvalidDocument):
        build_from_file(csv(tmp_path / "b.csv", "a,b\n1,2\n"), time="zzz")
    assert list(scratch.iterdir()) == []


def test_two_builds_of_one_file_have_one_digest(tmp_path: Path) -> None:
    path = written(tmp_path / "data.parquet", columns())
    first, second = build_from_file(path, now=NOW), build_from_file(path, now=NOW)
    assert first.digest == second.digest
    assert msgspec.structs.replace(first, digest="") == msgspec.structs.replace(second, digest="")
