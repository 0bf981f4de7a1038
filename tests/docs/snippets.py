"""What stands between fences in the documents, and commands that stand in a line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
NO_RUN = "no-run:"


class Snippet(NamedTuple):
    """`kind` is the first word behind the fence; `why_not` why it is not run, empty where it is."""

    document: Path
    line: int
    kind: str
    why_not: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"


def snippets() -> list[Snippet]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for fence in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            kind, _, why_not = fence[1].partition(f" {NO_RUN}")
            line = text.count("\n", 0, fence.start()) + 1
            found.append(Snippet(document, line, kind, why_not.strip(), fence[2]))
    return found


def of_kind(kind: str) -> list[Snippet]:
    """Those that run, document by document."""
    return [snippet for snippet in snippets() if snippet.kind == kind and not snippet.why_not]


def commands() -> list[tuple[str, str]]:
    """(place, command) of whatever begins with `sidecar`, within a line or between fences, without its comment."""
    found = []
    for document in DOCUMENTS:
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
            found += [(f"{document.name}:{number}", told) for told in re.findall(r"`(sidecar [a-z][^`]*)`", line)]
    for snippet in snippets():
        if snippet.kind == "sh":
            lines = snippet.text.replace("\\\n", " ").splitlines()
            found += [(snippet.place, line) for line in lines if line.startswith("sidecar ")]
    return [(place, re.split(r"\s+(?:[#|]|2?>) ", command)[0]) for place, command in found]


def program_folder(folder: Path) -> Path:
    """A folder for the search path, with `sidecar` in it, whatever is installed."""
    program = folder / "bin" / "sidecar"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sidecar.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program.parent
