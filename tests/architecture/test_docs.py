"""What users read names everything that there is, and nothing that is gone."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import cast

import click
import pytest

from sidecar.admin.api import Handlers, routes
from sidecar.admin.live import EventStreams
from sidecar.cli import main
from sidecar.telemetry import drift_metrics, metrics, quality_metrics
from tests.architecture.source_trees import ROOT

METRICS = ROOT / "docs" / "metrics.md"
API = ROOT / "docs" / "api.md"


def table(path: Path, columns: int) -> list[list[str]]:
    """The rows of a document's tables of so many columns, without their heads."""
    rows = re.findall(r"^\| (`.*) \|$", path.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return [row for row in cells if len(row) == columns]


class Everything:
    """Has every attribute, and those too; for a table that only passes its handlers on."""

    def __getattr__(self, name: str) -> Everything:
        return self


def metric_sources() -> str:
    return "".join(inspect.getsource(module) for module in (metrics, drift_metrics, quality_metrics))


def families() -> dict[str, tuple[str, str]]:
    """Each metric's type and labels, as the source declares it."""
    source = metric_sources()
    names = re.findall(r"(Counter|Gauge|Histogram)MetricFamily\(\s*\"(sidecar_\w+)\"", source)
    return {name + ("_total" if kind == "Counter" else ""): (kind.lower(), name) for kind, name in names}


def test_every_metric_stands_in_its_table_with_its_type() -> None:
    told = {row[0].strip("`"): row[1] for row in table(METRICS, 4)}

    assert told == {name: kind for name, (kind, _) in families().items()}


def test_every_metric_of_a_page_stands_in_the_table_with_its_labels() -> None:
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in table(METRICS, 4)}
    source = metric_sources()
    written = re.findall(r'"(sidecar_\w+)",[^()]*?labels=(\([^)]*\)|\w+)', source)
    shared = {"labels": {"deployment", "against", "feature"}, "said": {"deployment", "against"}}
    declared = {name: shared.get(labels, set(re.findall(r'"(\w+)"', labels))) for name, labels in written}

    assert len(declared) > 15
    for name, labels in declared.items():
        assert told.get(f"{name}_total", told.get(name)) == labels, name


def test_every_endpoint_stands_in_the_table_with_its_role() -> None:
    everything = Everything()
    known = routes(cast("Handlers", everything), cast("EventStreams", everything), metrics_open=True)
    told = [(row[0].strip("`"), row[1]) for row in table(API, 3)]

    assert told == [(f"{route.method} {route.path}", route.need) for route in known]


def commands(group: click.Group, prefix: str) -> list[str]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = commands(command, f"{prefix} {name}") if isinstance(command, click.Group) else []
        # A group that does something by itself is a command as well.
        alone = not isinstance(command, click.Group) or command.invoke_without_command
        found += ([f"{prefix} {name}"] if alone else []) + inner
    return found


def test_every_command_stands_in_the_table() -> None:
    told = [" ".join(re.findall(r"(?<![\w-])[a-z][a-z-]*(?![\w.])", row[0].split(" -")[0])) for row in table(API, 2)]

    assert sorted(told) == sorted(commands(main, "sidecar"))


def test_the_readme_names_every_command_that_a_newcomer_types() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in commands(main, "sidecar") if name not in readme]

    assert set(missing) <= {"sidecar baseline show"}


@pytest.mark.parametrize("path", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"])
def test_links_between_the_documents_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]

    assert [target for target in local if not (path.parent / target).exists()] == []


def test_the_version_is_the_same_everywhere() -> None:
    version = importlib.import_module("sidecar").__version__

    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
