from __future__ import annotations

import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from registry_client.baseline import from_json, to_json
from registry_client.build import build_from_file
from registry_client.cells import TAIL_LIMIT
from registry_client.errors import InvalidDocument, NotFound, RegistryError
from registry_client.from_columns import build_baseline

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
    path = csv(tmp_path / "a.csv", "t,a,b,vector\n2026-01-01,1.5,x,1\n2026-01-02,2.5,y,2\n")
    told: list[tuple[int, int]] = []
    built = build_from_file(path, time="t", exclude=("vector",), progress=lambda *done: told.append(done))
    assert [feature.name for feature in built.features] == ["a", "b"]
    assert told == [(0, 2), (1, 2), (2, 2)]


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


def test_a_pattern_is_no_file(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "a\n1\n")
    with pytest.raises(NotFound):
        build_from_file(tmp_path / "*.csv")


def test_without_duckdb_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
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
