"""Posting an offline pipeline's values, showing what differs, freezing the reference, acknowledging an alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from sidecar.admin import answers
from sidecar.admin.bodies import PostedRows
from sidecar.cli.failure import CommandFailed
from sidecar.cli.feature_file import rows_in
from sidecar.reports import Cause, FeatureSkew, RowSkewReport
from sidecar.standing import Acknowledgement, Alarm, FrozenReference
from tests.cli.conftest import NOW

Run = Callable[..., Any]
PATH = "/v1/deployments/fraud/features"
SKEW = RowSkewReport(
    since=NOW,
    rows=400,
    features=(
        FeatureSkew(
            name="amount", kind="numeric", compared=400, differs=120, share=0.3, share_lower=0.22, median_ratio=0.01,
            median_difference=-99.0, e_value=1e80, alarm=True, since=NOW,
            cause=Cause(kind="scaler", says="0.01 × the offline value (as when the normalisation is applied twice)"),
        ),
    ),
)  # fmt: skip


@pytest.fixture
def comparing(fraud: Any) -> Any:
    """Takes rows as the real API would, and answers the report."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        call = fraud.calls[-1]
        if call.method == "POST":
            posted = msgspec.json.decode(json.dumps(call.body), type=PostedRows).rows
            data = json.dumps({"compared": len(posted) - 1, "unknown": 1}).encode()
        elif call.path.endswith("/features"):
            data = msgspec.json.encode(answers.row_skew(SKEW))
        else:
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    fraud.answer(PATH, answers.row_skew(SKEW))
    fraud.handle = handle
    return fraud


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_posted_in_chunks_and_what_differs_is_shown(comparing: Any, sidecar: Run, tmp_path: Path) -> None:
    lines = "".join(f"id-{number},0,{number}.5,Paris\n" for number in range(1_200))
    path = write(tmp_path, "offline.csv", "request_id,row,amount,city\n" + lines)
    result = sidecar("features", str(path), "--deployment", "fraud")
    assert result.exit_code == 0, result.output
    posted = [call.body["rows"] for call in comparing.calls if call.method == "POST"]
    assert [len(rows) for rows in posted] == [500, 500, 200]
    assert posted[0][1] == {"request_id": "id-1", "row": 0, "features": {"amount": 1.5, "city": "Paris"}}
    assert "1200 rows posted: 1197 compared, 3 unknown" in result.output
    assert "applied twice" in result.output
    assert "30.00%" in result.output


def test_without_a_file_the_report_is_shown_or_printed_as_it_came(comparing: Any, sidecar: Run) -> None:
    assert "applied twice" in sidecar("features", "--deployment", "fraud").output
    assert json.loads(sidecar("features", "--deployment", "fraud", "--json").stdout)["compared"] == 400


def test_a_refusal_is_one_sentence(fraud: Any, sidecar: Run, tmp_path: Path) -> None:
    fraud.problem(PATH, 409, "fraud keeps no rows to compare with: set deployments[].sampling.keep_rows")
    path = write(tmp_path, "offline.csv", "request_id,amount\nid-1,2\n")
    result = sidecar("features", str(path), "--deployment", "fraud")
    assert (result.exit_code, "keep_rows" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        (
            "a.csv",
            "request_id,amount,city\na,1,x\nb,,\n",
            [
                {"request_id": "a", "features": {"amount": 1, "city": "x"}},
                {"request_id": "b", "features": {"amount": None, "city": None}},
            ],
        ),
        ("a.csv", "request_id,code\n7,007\n", [{"request_id": "7", "features": {"code": "007"}}]),
        ("a.jsonl", '{"request_id":"a","amount":1.5}\n', [{"request_id": "a", "features": {"amount": 1.5}}]),
        (
            "a.jsonl",
            '{"request_id":"a","row":2,"features":{"x":null,"y":true}}\n\n',
            [{"request_id": "a", "row": 2, "features": {"x": None, "y": True}}],
        ),
        ("a.jsonl", '{"request_id":"a","x":NaN}\n', [{"request_id": "a", "features": {"x": None}}]),
    ],
)
def test_rows_are_read_from_text_files(tmp_path: Path, name: str, text: str, rows: list[Any]) -> None:
    assert list(rows_in(write(tmp_path, name, text))) == rows


def test_rows_are_read_from_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    query = "SELECT 'a' AS request_id, 1.5::DECIMAL(4,1) AS amount, NULL AS gap, 2::INTEGER AS row"
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    assert list(rows_in(path)) == [{"request_id": "a", "row": 2, "features": {"amount": 1.5, "gap": None}}]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "amount\n1\n", "no column request_id"),
        ("a.csv", "request_id,x,x\na,1,2\n", "there twice"),
        ("a.csv", "request_id,x\na\n", "1 cells where the header has 2"),
        ("a.csv", "request_id\na\n", "there is no feature"),
        ("a.csv", 'request_id,x\na,"se\n', "not CSV"),
        ("a.jsonl", "[1]\n", "each line is an object"),
        ("a.jsonl", "secret-4711\n", "not JSON"),
        ("a.jsonl", '{"request_id":"a","features":{"x":[1]}}\n', "a value is a number"),
        ("a.jsonl", '{"request_id":"a","features":{"x":1},"y":2}\n', "'y' is not known"),
        ("a.jsonl", '{"request_id":"a","x":"\\ud800"}\n', "surrogate"),
        ("a.jsonl", '{"request_id":"","x":1}\n', "1 to 256"),
        ("a.jsonl", '{"request_id":"a","row":-1,"x":1}\n', "whole number"),
        ("a.jsonl", "[" * 100_000, "not JSON"),
        ("a.xlsx", "x", "read from .csv"),
    ],
)
def test_a_line_that_is_no_row_is_named_without_its_values(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        list(rows_in(write(tmp_path, name, text)))
    assert says in failed.value.message
    assert "4711" not in failed.value.message


def test_the_reference_is_frozen_with_a_reason(fraud: Any, sidecar: Run) -> None:
    frozen = FrozenReference(deployment="fraud", at=NOW, rows=18_240, audit_seq=9)
    fraud.answer("/v1/deployments/fraud/drift/reference", answers.reference(frozen))
    result = sidecar("drift", "freeze", "fraud", "--reason", "a quiet week")
    assert result.output == "the reference is frozen with 18240 rows as of 2026-01-01T00:00:00.000Z (audit 9)\n"
    assert fraud.calls[-1].body == {"reason": "a quiet week"}
    assert sidecar("drift", "freeze", "fraud").exit_code == 2, "a reason is needed"


def test_drift_is_shown_without_a_word_for_it(fraud: Any, sidecar: Run) -> None:
    shown = sidecar("drift", "fraud").output
    assert "PSI" in shown
    assert sidecar("drift", "show", "fraud").output == shown
    assert sidecar("drift", "--against", "training").output == shown


def test_an_alarm_is_acknowledged_with_a_reason_that_the_list_shows(fraud: Any, sidecar: Run) -> None:
    seen = Acknowledgement(by="alice", at=NOW, reason="the feed team is on it")
    alarm = Alarm(
        id="a/1", deployment="fraud", kind="data.broken", severity="critical", says="s", action="fix", since=NOW,
        owner="", acknowledged=True, acknowledgement=seen,
    )  # fmt: skip
    fraud.answer("/v1/alarms/a%2F1/acknowledge", answers.alarm(alarm))
    result = sidecar("alarms", "acknowledge", "a/1", "--reason", seen.reason)
    assert result.output == "a/1: acknowledged by alice: the feed team is on it\n"
    assert fraud.calls[-1].body == {"reason": seen.reason}
    fraud.answer("/v1/alarms", {"items": [answers.alarm(alarm)]})
    assert "acknowledged by alice: the feed team is on it" in sidecar("alarms").output
    misplaced = sidecar("alarms", "--json", "acknowledge", "a/1", "--reason", "x")
    assert (misplaced.exit_code, "go after the word acknowledge" in misplaced.stderr) == (2, True)


def test_an_alarm_that_another_explains_says_so(fraud: Any, sidecar: Run) -> None:
    alarm = Alarm(
        id="b", deployment="fraud", kind="prediction.shifted", severity="info", says="s", action="fix", since=NOW,
        owner="", acknowledged=False, explained_by="a",
    )  # fmt: skip
    fraud.answer("/v1/alarms", {"items": [answers.alarm(alarm)]})
    assert "open, explained by a" in sidecar("alarms").output
