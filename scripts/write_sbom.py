"""Writes the bill of materials (CycloneDX 1.6) of what `pip install --require-hashes -r locks/core.txt` installs.

cyclonedx-py reads the lock, which has versions and hashes and knows no licence, and the environment of the project,
whose packages tell their licences and what they need; here the second is put into the first, so that the document says
what is locked, for every Python at once, and nothing besides. The same lock gives the same bytes. Whatever the lock has
and the environment has not, is a fault. Does not: speak of the image's Debian packages, of extras, of models.
`make sbom` calls it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / ".venv-supply" / "bin"
LOCK = ROOT / "locks" / "core.txt"
OF_THE_ROOT = "root-component"

Json = dict[str, Any]


def bill(lock: Path = LOCK) -> Json:
    """The document, valid by its own schema."""
    project = ["--pyproject", str(ROOT / "pyproject.toml")]
    locked = _told_by("requirements", str(lock), *project)
    installed = _told_by("environment", sys.executable, *project)
    return joined(locked, installed, _direct())


def joined(locked: Json, installed: Json, direct: set[str]) -> Json:
    """The lock's document with licences and needs by the installed packages of the same names."""
    known = {_plain(component["name"]): component for component in installed["components"]}
    refs: dict[str, list[str]] = {}
    for component in locked["components"]:
        name = _plain(component["name"])
        refs.setdefault(name, []).append(_complete(component, known[name]))
    needs = {
        _plain(each["ref"].partition("==")[0]): [_plain(ref.partition("==")[0]) for ref in each.get("dependsOn", [])]
        for each in installed["dependencies"]
    }
    needs[OF_THE_ROOT] = sorted(direct)
    dependencies = [
        {"ref": ref, "dependsOn": sorted(found for need in needs[name] for found in refs.get(need, []))}
        for name, own in (*refs.items(), (OF_THE_ROOT, [OF_THE_ROOT]))
        for ref in own
    ]
    return locked | {"dependencies": sorted(dependencies, key=lambda each: str(each["ref"]))}


def _complete(component: Json, installed: Json) -> str:
    """Licence and description instead of the lock's line; what it is called from now on."""
    ref = f"{component['name']}=={component['version']}"
    marker = re.search(r"; (.+?)\s+--hash", component.pop("description"))
    component["bom-ref"] = ref
    component["licenses"] = installed.get("licenses") or _by_own_words(installed["name"])
    if "description" in installed:
        component["description"] = installed["description"]
    if marker is not None:
        component["properties"] = [{"name": "sidecar:environment-marker", "value": marker[1]}]
    return ref


def _by_own_words(name: str) -> list[Json]:
    """The licence of a package that tells it in its own words only."""
    return [{"license": {"acknowledgement": "declared", "name": metadata(name)["License"]}}]


def _direct() -> set[str]:
    """What the project itself asks for."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return {_plain(re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0]) for each in asked}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower() if name != OF_THE_ROOT else name


def _told_by(kind: str, *arguments: str) -> Json:
    # Judged once, when both are one.
    how = ["--output-reproducible", "--output-format", "JSON", "--no-validate"]
    command = [str(PROGRAMS / "cyclonedx-py"), kind, *arguments, *how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: Json = json.loads(done.stdout)
    return told


def valid(document: str) -> str:
    """What CycloneDX's own validator finds wrong; empty where nothing is."""
    code = (
        "import sys; from cyclonedx.schema import SchemaVersion; from cyclonedx.validation.json import"
        " JsonStrictValidator as V; print(V(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or '')"
    )
    command = [str(PROGRAMS / "python"), "-c", code]
    return subprocess.run(command, input=document, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Writes it where the first argument says."""
    text = json.dumps(bill(), indent=1, sort_keys=True) + "\n"
    if fault := valid(text):
        print(fault, file=sys.stderr)
        return 1
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    print(f"wrote {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
