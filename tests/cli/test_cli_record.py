"""The record's commands: head, export, offline checks with a key, reports, cost, dead letters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.admin import answers
from tests.admin.fake_record import HASH, FakeRecord
from tests.control.store_samples import folder_with, run_sql

Run = Callable[..., Any]
ONE = "/v1/deployments/fraud"
KEY = "a key that nobody guesses"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with three transitions."""
    folder = tmp_path_factory.mktemp("state")
    return asyncio.run(folder_with(folder, 3))


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    copied = tmp_path / "state"
    copied.mkdir()
    for name in ("sidecar.db", "audit-head.json"):
        (copied / name).write_bytes((stored / name).read_bytes())
    return copied


def entries() -> list[dict[str, Any]]:
    found = asyncio.run(FakeRecord().transitions("fraud"))
    return [json.loads(json.dumps(answers.audit_entry(entry))) for entry in found]


# --- the trail in files -----------------------------------------------------------------------------------------


def test_a_kept_head_and_an_exported_trail_prove_each_other(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    head, trail = tmp_path / "head.json", tmp_path / "trail.jsonl"
    head.write_text(sidecar("audit", "head", "--state-dir", str(folder)).stdout)
    trail.write_text(sidecar("audit", "export", "--state-dir", str(folder)).stdout)
    found = sidecar("audit", "verify", "--file", str(trail), "--head", str(head))
    assert found.exit_code == 0, found.stderr
    assert "the audit trail holds: 3 entries" in found.stdout
    lines = trail.read_text().splitlines()
    for cut, says in (
        (lines[:2], "cut off"),
        ([lines[0], lines[2], lines[1]], "entry 2 is missing"),
        ([lines[0].replace("alice", "mallo"), *lines[1:]], "entry 1 was edited"),
        ([*lines, lines[-1]], "reordered or added to"),
        ([], "the trail ends at entry 0"),
    ):
        trail.write_text("\n".join(cut))
        found = sidecar("audit", "verify", "--file", str(trail), "--head", str(head))
        assert (found.exit_code, says in found.stderr) == (1, True), found.stderr


def test_a_head_that_was_kept_finds_a_folder_that_was_cut(sidecar: Run, folder: Path, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    head.write_text(sidecar("audit", "head", "--state-dir", str(folder)).stdout)
    run_sql(folder, "DELETE FROM audit WHERE seq = 3")
    (folder / "audit-head.json").unlink()
    found = sidecar("audit", "verify", "--state-dir", str(folder), "--head", str(head))
    assert found.exit_code == 1
    assert sidecar("audit", "head", "--state-dir", str(folder)).exit_code == 0, "the chain of the rest is sound"


def test_a_first_key_is_taken_once_its_head_is_signed(
    sidecar: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    check = ("audit", "verify", "--state-dir", str(folder), "--key-file", str(key))
    assert "is not signed" in sidecar(*check).stderr
    signed = sidecar("audit", "sign", "--state-dir", str(folder), "--key-name", "2026", "--key-file", str(key))
    assert (signed.exit_code, KEY in signed.output) == (0, False)
    assert sidecar(*check).exit_code == 0
    monkeypatch.setenv("OTHER", "another key of 24 bytes.")
    found = sidecar("audit", "verify", "--state-dir", str(folder), "--key-env", "OTHER")
    assert "was not made with the key 2026" in found.stderr
    monkeypatch.setenv("SIDECAR_AUDIT_KEY", KEY)
    assert sidecar("audit", "verify", "--state-dir", str(folder)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("audit", "verify", "--key-env", "NONE"), 2, "a running sidecar has its own"),
        (("audit", "verify", "--state-dir", "x", "--file", "y"), 2, "not both"),
        (("audit", "verify", "--file", "/nowhere/trail"), 2, "cannot be read"),
        (("audit", "verify", "--head", "/nowhere/head"), 2, "cannot be read"),
        (("audit", "head", "--state-dir", "/nowhere"), 2, "is no state folder"),
        (("audit", "sign", "--state-dir", "/nowhere", "--key-name", "a"), 2, "there is no key to sign with"),
        (("report", "--state-dir", "/nowhere"), 2, "is no state folder"),
        (("events", "resend", "7"), 2, "--reason"),
        (("cost", "--from", "2026-01-01T00:00:00Z"), 2, "--to"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(sidecar: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    found = sidecar(*arguments)
    assert (found.exit_code, says in found.stderr) == (code, True), found.stderr


def test_a_damaged_export_is_said_with_its_line(sidecar: Run, tmp_path: Path) -> None:
    trail = tmp_path / "trail.jsonl"
    trail.write_text("{}\n")
    assert "line 1" in sidecar("audit", "verify", "--file", str(trail)).stderr
    trail.write_bytes(b"\xff\xfe\n")
    assert "line 1" in sidecar("audit", "verify", "--file", str(trail)).stderr


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_export_without_an_entry_does_not_hold(sidecar: Run, tmp_path: Path, content: str) -> None:
    trail = tmp_path / "trail.jsonl"
    trail.write_text(content)
    found = sidecar("audit", "verify", "--file", str(trail))
    assert (found.exit_code, "holds no entry" in found.stderr, found.stdout) == (2, True, "")


def test_a_running_sidecar_checks_a_kept_head(fraud: Any, sidecar: Run, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    fraud.answer("/v1/audit/head", {"seq": 3, "hash": HASH, "at": 1.5, "key": None, "mac": None})
    head.write_text(sidecar("audit", "head").stdout)
    fraud.answer("/v1/audit/verify", {"ok": False, "entries": 3, "head": HASH, "fault": "was rewritten"})
    found = sidecar("audit", "verify", "--head", str(head))
    assert (found.exit_code, found.stderr) == (1, "the audit trail does not hold: was rewritten\n")
    assert fraud.calls[-1].body == {"seq": 3, "hash": HASH, "at": 1.5}


def test_a_running_sidecars_trail_is_exported_as_its_hashes_cover_it(fraud: Any, sidecar: Run) -> None:
    fraud.answer("/v1/audit?after=0&limit=1000", {"entries": entries()})
    (line,) = sidecar("audit", "export").stdout.splitlines()
    assert isinstance(json.loads(line)["at"], float)
    assert "at_s" not in line


# --- reports and cost -------------------------------------------------------------------------------------------


def test_a_report_is_printed_or_written(fraud: Any, sidecar: Run, tmp_path: Path) -> None:
    fraud.answer(f"{ONE}/transitions/latest/report?format=markdown", {"format": "markdown", "text": "# told\n"})
    fraud.answer(f"{ONE}/transitions/3/report?format=html", {"format": "html", "text": "<p>told</p>"})
    assert sidecar("report").stdout == "# told\n"
    page = tmp_path / "report.html"
    assert sidecar("report", "fraud", "3", "-o", str(page)).exit_code == 0
    assert page.read_text() == "<p>told</p>"


def test_a_report_is_made_from_a_state_folder_without_a_sidecar(sidecar: Run, folder: Path) -> None:
    found = sidecar("report", "--state-dir", str(folder))
    assert "# fraud: promoted to version 3" in found.stdout
    assert "holds: 3 entries" in found.stdout
    assert "no transition of" in sidecar("report", "churn", "--state-dir", str(folder)).stderr


def test_what_a_stretch_cost_is_a_table(fraud: Any, sidecar: Run) -> None:
    cost = asyncio.run(FakeRecord().cost("fraud", 0.0, 1.0))
    fraud.answer(f"{ONE}/cost?from=2026-01-30T12%3A00%3A00Z&to=2026-01-31T12%3A00%3A00Z", answers.cost(cost))
    found = sidecar("cost", "--from", "2026-01-30T12:00:00Z", "--to", "2026-01-31T12:00:00Z")
    assert found.exit_code == 0, found.stderr
    assert "10 requests, 10 rows" in found.stdout
    assert "disagree" in found.stdout


# --- dead letters -----------------------------------------------------------------------------------------------


def test_dead_letters_are_listed_and_sent_again(fraud: Any, sidecar: Run) -> None:
    letters = asyncio.run(FakeRecord().dead_letters())
    fraud.answer("/v1/events/dead-letters", answers.dead_letters(letters))
    fraud.answer("/v1/events/dead-letters/7/resend", answers.dead_letter(letters.items[0]))
    found = sidecar("events", "dead")
    assert "answered" in found.stdout
    assert "1 given up, 2 waiting" in found.stdout
    assert "goes to http://127.0.0.1:9000 again" in sidecar("events", "resend", "7", "--reason", "back").stdout
    assert fraud.calls[-1].body == {"reason": "back"}
