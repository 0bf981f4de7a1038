"""The rules as their own checker sees them, and as their unit tests say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.alerting.alerting_programs import RULES, ran


def alerts() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((RULES / "rules.yaml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"] if "alert" in rule}


def test_the_checker_has_nothing_to_say_about_the_rules() -> None:
    assert "SUCCESS" in ran("promtool", "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")


def test_every_rule_does_what_its_test_says() -> None:
    assert "SUCCESS" in ran("promtool", "test", "rules", "rules_test.yaml")


def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Any) -> None:
    """The tests above can fail."""
    rules = (RULES / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(rules.replace("ratio_rate5m > 0.05", "ratio_rate5m > 0.5"), encoding="utf-8")
    (tmp_path / "rules_test.yaml").write_bytes((RULES / "rules_test.yaml").read_bytes())

    with pytest.raises(AssertionError, match="SidecarChampionFailing"):
        ran("promtool", "test", "rules", "rules_test.yaml", folder=tmp_path)


def test_every_alert_is_seen_to_fire_in_a_unit_test() -> None:
    document = yaml.safe_load((RULES / "rules_test.yaml").read_text(encoding="utf-8"))
    fired = {case["alertname"] for test in document["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == set(alerts())


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name


def test_the_example_configurations_are_valid() -> None:
    ran("promtool", "check", "config", "prometheus.yaml")
    assert "2 receivers" in ran("amtool", "check-config", "alertmanager.yaml")
