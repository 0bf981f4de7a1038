"""The table of rules in docs/wire.md names every rule, and for each the files that really test it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.proxy.transcript import FOLDER, read

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (H\d+) [^|]*\|[^|]*\|([^|]*)\|$", (ROOT / "docs" / "wire.md").read_text(), re.MULTILINE)
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


def test_every_rule_stands_in_the_table_once_and_in_order() -> None:
    assert [rule for rule, _ in ROWS] == [f"H{number}" for number in range(1, 33)]


@pytest.mark.parametrize("name", NAMES)
def test_a_transcripts_rule_names_its_file(name: str) -> None:
    named = {rule for rule, cell in ROWS if f"`{name}`" in cell}
    assert {transcript.rule for transcript in read(name)} - {"M11"} == named


def test_every_rule_is_tested_by_files_that_exist() -> None:
    for rule, cell in ROWS:
        files = re.findall(r"`([^`]+)`", cell)
        assert files, rule
        assert [file for file in files if file not in NAMES and not (ROOT / file).is_file()] == [], rule
