from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest

from registry_client.build import build_from_file
from registry_client.csv_rows import open_csv
from registry_client.errors import InvalidDocument


def rows_of(path: Path) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    with duckdb.connect() as connection:
        open_csv(connection, [path])
        described = connection.execute("DESCRIBE data").fetchall()
        rows = connection.execute("SELECT * FROM data").fetchall()
        return [row[0] for row in described], [row[1] for row in described], rows


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        (b"a,b\n1,x\n2,y\n", ["a", "b"], [(1, "x"), (2, "y")]),
        (b"a;b\n1;2,5\n", ["a", "b"], [(1, "2,5")]),
        (b"a\tb\n1\t2\n", ["a", "b"], [(1, 2)]),
        (b"a|b\n1|2", ["a", "b"], [(1, 2)]),
        (b"a\n1\n\n3\n", ["a"], [(1,), (None,), (3,)]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", ["a", "b"], [(1, 2)]),
        (b'"a,b",c\n"x,""y""\nz",\n', ["a,b", "c"], [('x,"y"\nz', None)]),
        (b'it\'s,"a ""b"""\n1,2\n', ["it's", 'a "b"'], [(1, 2)]),
    ],
)
def test_dialects_are_read(tmp_path: Path, content: bytes, names: list[str], rows: list[tuple[Any, ...]]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    found, _, read = rows_of(path)
    assert (found, read) == (names, rows)


@pytest.mark.parametrize(
    ("values", "sql_type"),
    [
        (["1", "-2", "0", ""], "BIGINT"),
        ([" 1", "2 "], "BIGINT"),
        (["1", "2.5"], "DOUBLE"),
        (["1e3", ".5", "3.", "-0.1E-2"], "DOUBLE"),
        (["1", "NaN", "inf", "-Infinity"], "DOUBLE"),
        (["99999999999999999999"], "DOUBLE"),
        (["true", "False"], "BOOLEAN"),
        (["007", "12"], "VARCHAR"),
        (["00.5"], "VARCHAR"),
        (["1_000"], "VARCHAR"),
        (["0x10"], "VARCHAR"),
        (["1", "x"], "VARCHAR"),
        (["1", "true"], "VARCHAR"),
        (["", ""], "VARCHAR"),
        (["2026-01-01"], "VARCHAR"),
    ],
)
def test_a_column_has_the_type_of_all_its_values(tmp_path: Path, values: list[str], sql_type: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,end\n" + "".join(f"{value},.\n" for value in values))
    _, types, rows = rows_of(path)
    assert types[0] == sql_type
    assert len(rows) == len(values)


def test_compressed_files_and_tab_separated_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"a,b\tc\n1\t2\n"))
    assert rows_of(path) == (["a,b", "c"], ["BIGINT", "BIGINT"], [(1, 2)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b,c\n1,2,3\nsecret,5\n6,7,8\n", "Line: 3; Expected Number of Columns: 3 Found: 2"),
        (b"a,b\n1,2\nsecret,4,5\n", "Line: 3; Expected Number of Columns: 2 Found: 3"),
        (b'a,b\n1,2\n"secret', "Line: 3"),
        (b"\n1,2\n", "line of column names"),
        (b"", "line of column names"),
        (b"\0\1\2", "line of column names"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,b,A\n1,2,3\n", "two columns are named 'a'"),
        (b'a,"b\n', "not closed"),
        (b"\xff\xfea,b\n1,2\n", "not UTF-8"),
        (b'"a"x,b\n', "not well formed|no rows"),
        (b"a,b\n\xff,2\n", "not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 50_000 + b"\xff,2\n", "unicode"),
    ],
    ids=range(13),
)
def test_what_is_not_well_formed_is_refused_without_repeating_its_data(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidDocument, match=reason) as caught:
        build_from_file(path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_compressed_by_name_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(InvalidDocument, match="cannot be read"):
        build_from_file(path)
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" * 1_000)[:30])
    with pytest.raises(InvalidDocument, match=r"a\.csv\.gz"):
        build_from_file(path)
