"""Posting outcomes: every line is checked first, chunks are summed, a bad line is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from sidecar.admin.bodies import PostedOutcomes
from sidecar.cli.outcome_file import outcomes_in

Run = Callable[..., Any]
PATH = "/v1/outcomes"


@pytest.fixture
def counting(api: Any) -> Any:
    """Counts each posted outcome as matched, and the one of `late` as late; refuses what the real API would."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps(api.calls[-1].body)
        posted = msgspec.json.decode(body, type=PostedOutcomes).outcomes
        late = sum(1 for outcome in posted if outcome.request_id == "late")
        data = json.dumps({"matched": len(posted) - late, "late": late, "pending": 0}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    api.handle = handle
    return api


def write(tmp_path: Path, name: str, text: str | bytes) -> str:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def posted(api: Any) -> list[dict[str, Any]]:
    return [outcome for call in api.calls for outcome in call.body["outcomes"]]


def test_a_csv_is_posted_with_numbers_labels_rows_and_times(counting: Any, sidecar: Run, tmp_path: Path) -> None:
    text = (
        "request_id,outcome,row,at\r\n"
        "a,1,0,2026-01-01T01:00:00+01:00\r\n"
        "\r\n"
        'b,"fraud, sure",2,\r\n'
        "c,0.25,,2026-01-01T00:00:00Z\r\n"
        "d,007,,\r\n"
        "e,true,,\r\n"
        "late,-1e3,,\r\n"
    )
    result = sidecar("outcomes", write(tmp_path, "o.csv", text))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "6 outcomes posted: 5 matched, 1 late\n"
    assert posted(counting) == [
        {"request_id": "a", "outcome": 1, "row": 0, "at": "2026-01-01T00:00:00Z"},
        {"request_id": "b", "outcome": "fraud, sure", "row": 2},
        {"request_id": "c", "outcome": 0.25, "at": "2026-01-01T00:00:00Z"},
        {"request_id": "d", "outcome": "007"},
        {"request_id": "e", "outcome": "true"},
        {"request_id": "late", "outcome": -1000.0},
    ]


def test_json_lines_are_posted(counting: Any, sidecar: Run, tmp_path: Path) -> None:
    text = '\ufeff{"request_id": "a", "outcome": true, "corrects": true}\n\n{"request_id": "b", "outcome": "x"}'

    assert sidecar("outcomes", write(tmp_path, "o.jsonl", text)).exit_code == 0
    assert posted(counting) == [
        {"request_id": "a", "outcome": True, "corrects": True},
        {"request_id": "b", "outcome": "x"},
    ]


def test_parquet_is_posted(counting: Any, sidecar: Run, tmp_path: Path) -> None:
    path = tmp_path / "o[1]*.parquet"
    query = (
        "SELECT 'r' || i AS request_id, CAST(i AS DECIMAL(9, 2)) / 2 AS outcome, "
        "CASE WHEN i = 0 THEN 3 END AS row, TIMESTAMP '2026-01-01 00:00:00' AS at FROM range(2) t(i)"
    )
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{tmp_path}/plain.parquet' (FORMAT parquet)")
    (tmp_path / "plain.parquet").rename(path)

    result = sidecar("outcomes", str(path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert posted(counting) == [
        {"request_id": "r0", "outcome": 0.0, "row": 3, "at": "2026-01-01T00:00:00Z"},
        {"request_id": "r1", "outcome": 0.5, "at": "2026-01-01T00:00:00Z"},
    ]


def test_a_long_file_goes_in_chunks_whose_counts_are_summed(counting: Any, sidecar: Run, tmp_path: Path) -> None:
    lines = ["request_id,outcome", *(f"r{n},1" for n in range(2500)), "late,1"]

    result = sidecar("outcomes", write(tmp_path, "o.csv", "\n".join(lines)), "--json")

    assert [len(call.body["outcomes"]) for call in counting.calls] == [1000, 1000, 501]
    assert json.loads(result.stdout) == {
        "matched": 2500, "pending": 0, "duplicate": 0, "conflict": 0, "orphan": 0, "late": 1
    }  # fmt: skip


CSV = "request_id,outcome,row,at,corrects\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("o.csv", CSV + "a,1,,,\nb,1,x,,\n", ":3: row must be a whole number from 0 to 1000000"),
        ("o.csv", CSV + "a,1,-1,,\n", ":2: row must be a whole number"),
        ("o.csv", CSV + "a,1,1.5,,\n", ":2: row must be a whole number"),
        ("o.csv", CSV + "a,1,1000001,,\n", ":2: row must be a whole number"),
        ("o.csv", CSV + ",1,,,\n", ":2: request_id must be text of 1 to 256 characters"),
        ("o.csv", CSV + f"{'a' * 257},1,,,\n", ":2: request_id must be text"),
        ("o.csv", CSV + "a,,,,\n", ":2: outcome must be a label or a number"),
        ("o.csv", CSV + "a,NaN,,,\n", ":2: NaN is not a finite number"),
        ("o.csv", CSV + "a,1e999,,,\n", ":2: outcome must be a finite number"),
        ("o.csv", CSV + f"a,{'9' * 400},,,\n", ":2: outcome must be a finite number"),
        ("o.csv", CSV + f"a,{'x' * 1001},,,\n", ":2: outcome must have 1 to 1000 characters"),
        ("o.csv", CSV + "a,1,,yesterday,\n", ":2: at must be a time with its zone"),
        ("o.csv", CSV + "a,1,,2026-01-01T00:00:00,\n", ":2: at must be a time with its zone"),
        ("o.csv", CSV + "a,1,,0001-01-01T00:00:00+23:00,\n", ":2: at is out of range"),
        ("o.csv", CSV + "a,1,,,maybe\n", ":2: corrects must be true or false"),
        ("o.csv", CSV + "a,1\n", ":2: has 2 cells where the header has 5"),
        ("o.csv", CSV + '"a\nb",1,,,\nc,1,x,,\n', ":4: row must be"),
        ("o.csv", CSV + '"a,1,,,\n', ":2: unexpected end of data"),
        ("o.csv", f"request_id,outcome\n{'x' * 140_000},1\n", ":2: field larger than field limit"),
        ("o.csv", "request_id,outcom\n", ":1: there is no outcome; needed are request_id and outcome"),
        ("o.csv", "request_id,outcome,rwo\n", ":1: 'rwo' is not known; did you mean row?"),
        ("o.csv", "request_id,outcome,outcome\n", ":1: a column is there twice"),
        ("o.csv", "", ": empty; the first line names the columns"),
        ("o.csv", b"request_id,outcome\n\xff,1\n", ": not UTF-8 text"),
        ("o.jsonl", '{"request_id": "a", "outcome": 1}\n{"request_id": "b"}\n', ":2: there is no outcome"),
        ("o.jsonl", '{"request_id": "a", "outcome": NaN}\n', ":1: NaN is not a finite number"),
        ("o.jsonl", '{"request_id": "a", "outcome": null}\n', ":1: outcome must be a label or a number"),
        ("o.jsonl", '{"request_id": "a", "outcome": [1]}\n', ":1: outcome must be a label or a number"),
        ("o.jsonl", '{"request_id": 5, "outcome": 1}\n', ":1: request_id must be text"),
        ("o.jsonl", '{"request_id": "a", "outcome": 1, "row": true}\n', ":1: row must be"),
        ("o.jsonl", '{"request_id": "a", "outcome": 1, "at": 5}\n', ":1: at must be a time"),
        ("o.jsonl", '{"request_id": "a", "outcome": 1, "x": 5}\n', ":1: 'x' is not known; known are request_id"),
        ("o.jsonl", '{"request_id": "\\ud800", "outcome": 1}\n', ":1: half a surrogate pair"),
        ("o.jsonl", '{"request_id": "a", "outcome": "\\ud800"}\n', ":1: half a surrogate pair"),
        ("o.jsonl", "[1]\n", ":1: each line is an object"),
        ("o.jsonl", "\n{oops\n", ":2: not JSON"),
        ("o.jsonl", "[" * 100_000, ":1: nested too deeply"),
        ("o.jsonl", f'{{"request_id": "a", "outcome": {"9" * 5000}}}', ":1: "),
        ("o.parquet", b"no parquet", " cannot be read as Parquet"),
        ("o.txt", "x", ": outcomes are read from .csv, .jsonl or .parquet files"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_posted(
    counting: Any, sidecar: Run, tmp_path: Path, name: str, text: str | bytes, says: str
) -> None:
    path = write(tmp_path, name, text)

    result = sidecar("outcomes", path)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{path}{says}"), result.stderr
    assert result.stderr.endswith("(nothing was posted)\n")
    assert counting.calls == []


def test_a_bad_line_at_the_end_of_a_long_file_stops_everything(counting: Any, sidecar: Run, tmp_path: Path) -> None:
    lines = ["request_id,outcome", *(f"r{n},1" for n in range(3000)), "x"]

    result = sidecar("outcomes", write(tmp_path, "o.csv", "\n".join(lines)))

    assert (result.exit_code, counting.calls) == (2, [])
    assert ":3002: " in result.stderr


def test_a_parquet_row_is_counted_from_1(tmp_path: Path, counting: Any, sidecar: Run) -> None:
    path = tmp_path / "o.parquet"
    with duckdb.connect() as connection:
        rows = "(VALUES ('a', 1), (NULL, 1)) t(request_id, outcome)"
        connection.execute(f"COPY (SELECT * FROM {rows}) TO '{path}' (FORMAT parquet)")

    assert f"{path}: row 2: request_id must be text" in sidecar("outcomes", str(path)).stderr


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "gone.parquet"])
def test_a_missing_file_is_one_sentence(sidecar: Run, tmp_path: Path, name: str) -> None:
    result = sidecar("outcomes", str(tmp_path / name))

    assert result.exit_code == 2
    assert "cannot be read: no such file" in result.stderr
    assert result.stderr.count("\n") == 1


def test_parquet_without_duckdb_says_what_to_install(
    sidecar: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)

    assert "pip install 'serving-sidecar[baseline]'" in sidecar("outcomes", write(tmp_path, "o.parquet", b"")).stderr


def test_when_the_api_stops_in_the_middle_the_posted_part_is_told(api: Any, sidecar: Run, tmp_path: Path) -> None:
    lines = ["request_id,outcome", *(f"r{n},1" for n in range(1500))]

    def handle(handler: BaseHTTPRequestHandler) -> None:
        first = len(api.calls) == 1
        data = b'{"matched": 1000}' if first else b'{"detail": "The disk is full."}'
        handler.send_response(200 if first else 503)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    api.handle = handle

    result = sidecar("outcomes", write(tmp_path, "o.csv", "\n".join(lines)))

    assert result.exit_code == 2
    assert result.stderr == (
        "The disk is full.; 1000 of 1500 outcomes were posted before; posting the whole file again is safe\n"
    )


def test_reading_is_lazy_so_that_a_long_file_needs_little_memory(tmp_path: Path) -> None:
    text = "request_id,outcome\n" + "a,1\n" * 3 + "broken\n"

    found = outcomes_in(Path(write(tmp_path, "o.csv", text)))

    assert [next(found)["outcome"] for _ in range(3)] == [1, 1, 1]
