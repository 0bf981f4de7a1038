from __future__ import annotations

from typing import Any

import pytest

from sidecar.address import Address
from sidecar.app.tokens import CannotStart
from sidecar.app.tracing import spans_of, where_in
from sidecar.config import Settings
from sidecar.control.watch import DeploymentWatch
from sidecar.standing import Target
from tests.control.live_samples import NOW, deployment, state


def settings(**telemetry: Any) -> Settings:
    return Settings.model_validate({"upstream": "http://h:1", "telemetry": telemetry})


def nowhere(_deployment: str, _version: str) -> None:
    return None


def test_without_an_endpoint_nothing_is_exported() -> None:
    assert spans_of(settings(), nowhere) is None


@pytest.mark.parametrize(
    ("value", "says"), [(None, "set the variable OTLP_TEST"), ("no pair", "the variable OTLP_TEST: header 1")]
)
def test_headers_that_are_missing_or_none_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str | None, says: str
) -> None:
    monkeypatch.delenv("OTLP_TEST", raising=False)
    if value is not None:
        monkeypatch.setenv("OTLP_TEST", value)
    with pytest.raises(CannotStart, match=says):
        spans_of(settings(otlp_endpoint="http://127.0.0.1:4318", headers_env="OTLP_TEST"), nowhere)


async def test_with_an_endpoint_there_is_an_exporter() -> None:
    exporter = spans_of(settings(otlp_endpoint="http://127.0.0.1:1"), nowhere)
    assert exporter is not None
    assert exporter.counts == {"exported": 0, "failed": 0, "dropped": 0}
    await exporter.close(1.0)


def test_every_version_that_is_routed_has_its_place() -> None:
    promoted = state("4", 2, previous="2", previous_target=Target("https://two", "/p"))
    where = where_in({"fraud": DeploymentWatch(deployment(), promoted, None, NOW)})
    assert where("fraud", "4") == (Address("127.0.0.1", 8040), None)
    assert where("fraud", "3") == (Address("127.0.0.1", 8030), None)
    assert where("fraud", "2") == (Address("two", 443, tls=True), "/p")
    assert where("fraud", "9") is None
    assert where("other", "3") is None
