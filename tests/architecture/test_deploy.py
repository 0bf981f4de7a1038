"""What ships for operators beside the code names only what there is: metrics, labels, recorded rules."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from sidecar.config import Settings
from tests.architecture.source_trees import ROOT
from tests.architecture.test_docs import METRICS, table

DEPLOY = ROOT / "deploy"
# What Prometheus itself or the scrape's target adds.
ADDED = {"job", "namespace", "instance", "le"}


def told_labels() -> dict[str, set[str]]:
    """Labels by series name, as docs/metrics.md has them; that page is held equal to the source elsewhere."""
    labels = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in table(METRICS, 4)}
    series = {name: told for name, (kind, told) in labels.items() if kind != "histogram"}
    for name, (kind, told) in labels.items():
        if kind == "histogram":
            series |= {f"{name}_{part}": told for part in ("bucket", "count", "sum")}
    return series


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    return document


def dashboard_queries() -> list[str]:
    document = dashboard()
    found = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    found += [each["expr"] for each in document["annotations"]["list"]]
    return found + [each["definition"] for each in document["templating"]["list"] if "definition" in each]


QUERIES = [*(rule["expr"] for rule in rules()), *dashboard_queries()]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_names_only_series_and_labels_that_there_are(query: str) -> None:
    series = told_labels()
    for name in re.findall(r"\bsidecar_\w+", re.sub(r"sidecar:[\w:]+", "", query)):
        assert name in series, name
    assert set(re.findall(r"sidecar:[\w:]+", query)) <= recorded()
    for name, matchers in re.findall(r"\b(sidecar_\w+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers)) <= series[name] | ADDED, name
    for by in re.findall(r"\bby \(([^)]*)\)", query):
        names = re.findall(r"\bsidecar_\w+", query)
        known = {label for name in names for label in series.get(name, ())} | ADDED
        assert set(re.split(r",\s*", by)) <= known, by


@pytest.mark.parametrize("values", ["outcome", "state", "reason", "severity", "what"])
def test_a_label_is_compared_with_values_that_the_documents_know(values: str) -> None:
    told = METRICS.read_text(encoding="utf-8")
    asked = {value for query in QUERIES for value in re.findall(rf'\b{values}!?="([^"]+)"', query)}

    assert asked
    assert {value for value in asked if f"`{value}`" not in told} == set()


def test_the_dashboards_panels_lie_side_by_side() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_every_panel_says_what_it_shows() -> None:
    charts = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]

    assert len(charts) > 10
    assert [panel["title"] for panel in charts if not panel["description"]] == []


def test_every_alert_stands_in_the_metrics_page_with_its_urgency() -> None:
    told = {row[0].strip("`"): row[1] for row in table(METRICS, 3)}

    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in rules() if "alert" in rule}


def test_the_threat_model_names_tests_that_there_are() -> None:
    told = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]+)`", told)) | set(re.findall(r"\]\(([\w/.-]+)\)", told))

    assert len(named) > 15
    assert {name for name in named if not (ROOT / name).exists()} == set()


def snippets() -> list[str]:
    told = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", told, re.DOTALL)


@pytest.mark.parametrize("snippet", snippets(), ids=range(len(snippets())))
def test_what_one_migrates_to_is_a_good_configuration(snippet: str) -> None:
    assert Settings.model_validate(yaml.safe_load(snippet)).deployments
