"""What we ship is named, package by package, with its hashes and its licence; and an audit that asked nobody fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.write_sbom import LOCK, OF_THE_ROOT, bill, valid
from tests.architecture.source_trees import ROOT

HASHES = r"--hash=sha256:([0-9a-f]{64})"


def locked() -> dict[str, set[str]]:
    """name==version → its hashes."""
    packages = re.split(r"^(?=[a-z0-9])", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {package.split()[0]: set(re.findall(HASHES, package)) for package in packages if "==" in package}


@pytest.fixture(scope="module")
def document() -> Any:
    return bill()


def test_each_locked_package_is_named_with_its_hashes_and_its_licence(document: Any) -> None:
    told = {component["bom-ref"]: component for component in document["components"]}

    assert len(told) > 30
    assert set(told) == set(locked())
    for name, hashes in locked().items():
        (distribution,) = told[name]["externalReferences"]
        assert {each["content"] for each in distribution["hashes"]} == hashes, name
        assert told[name]["purl"] == f"pkg:pypi/{name.replace('==', '@')}"
        for licence in told[name]["licenses"]:
            assert licence.get("expression") or set(licence["license"]) & {"id", "name"}, name


def test_no_licence_of_what_is_shipped_asks_for_our_source(document: Any) -> None:
    told = json.dumps([component["licenses"] for component in document["components"]])

    assert not re.search(r"GPL|SSPL|BUSL|Commons Clause|Elastic", told)


def test_who_needs_whom_is_told_from_the_project_down_to_the_last(document: Any) -> None:
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    reached, waiting = set(), [OF_THE_ROOT]
    while waiting:
        here = waiting.pop()
        if here not in reached:
            reached.add(here)
            waiting += needs[here]

    assert reached == {OF_THE_ROOT, *locked()}
    assert any(ref.startswith("aiohttp==") for ref in needs[OF_THE_ROOT])
    assert not any(ref.startswith("yarl==") for ref in needs[OF_THE_ROOT])


def test_the_document_is_valid_and_names_us(document: Any) -> None:
    assert valid(json.dumps(document)) == ""
    assert valid(json.dumps(document | {"components": [{"name": 5}]}))
    assert document["metadata"]["component"]["name"] == "serving-sidecar"


def test_an_audit_that_could_not_ask_for_a_package_is_no_success() -> None:
    """Without --strict pip-audit passes over whatever its service does not know, and ends with 0."""
    (command,) = re.findall(r"^\t(.*pip-audit.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert {"--strict", "--require-hashes", "--disable-pip"} <= set(command.split())
    assert "locks/core.txt" in command


def test_the_same_tree_gives_the_same_wheel_whenever_it_is_built(tmp_path: Path) -> None:
    wheels: list[Path] = []
    for folder, zone in (("a", "UTC"), ("b", "Asia/Tokyo")):
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1767225600", "TZ": zone}
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / folder)]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        wheels += (tmp_path / folder).glob("*.whl")

    one, other = wheels
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()
    assert {entry.date_time for entry in zipfile.ZipFile(one).infolist()} == {(2026, 1, 1, 0, 0, 0)}
