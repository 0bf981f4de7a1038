"""Frames of `top`: what they say, and what their figures are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sidecar.admin import answers
from sidecar.canary import CanaryStatus, CanaryStep
from sidecar.cli.top_look import Counted, counted
from tests.cli.conftest import FRAUD, NOW

Run = Callable[..., Any]
METRICS = """\
# TYPE sidecar_requests counter
sidecar_requests_total{deployment="fraud",version="3",code="200"} 90
sidecar_requests_total{deployment="fraud",version="3",code="502"} 10
sidecar_requests_total{deployment="fraud",version="2",code="200"} 1
# TYPE sidecar_request_duration_seconds histogram
sidecar_request_duration_seconds_bucket{deployment="fraud",version="3",le="0.01"} 50
sidecar_request_duration_seconds_bucket{deployment="fraud",version="3",le="0.02"} 100
sidecar_request_duration_seconds_bucket{deployment="fraud",version="3",le="+Inf"} 100
sidecar_request_duration_seconds_count{deployment="fraud",version="3"} 100
sidecar_request_duration_seconds_sum{deployment="fraud",version="3"} 1
# TYPE process_threads gauge
process_threads 4
"""


@pytest.fixture
def played(fraud: Any) -> Any:
    fraud.answers["/metrics"] = (200, "text/plain", METRICS.encode())
    fraud.answers["/v1/deployments/fraud/comparison?challenger=4"] = fraud.answers["/v1/deployments/fraud/comparison"]
    return fraud


def test_counters_are_added_over_versions_and_codes() -> None:
    found = counted(METRICS)
    assert found == {"fraud": Counted(101.0, 10.0, {0.01: 50.0, 0.02: 100.0, math.inf: 100.0})}


@pytest.mark.parametrize(
    ("within", "share", "wanted"),
    [
        ({}, 0.99, None),
        ({0.01: 0.0, math.inf: 0.0}, 0.99, None),
        ({0.01: 50.0, 0.02: 100.0, math.inf: 100.0}, 0.5, 0.01),
        ({0.01: 50.0, 0.02: 100.0, math.inf: 100.0}, 0.75, 0.015),
        ({0.01: 10.0, math.inf: 100.0}, 0.99, 0.01),
        ({0.01: 0.0, 0.02: 0.0, 0.04: 10.0, math.inf: 10.0}, 0.5, 0.03),
    ],
)
def test_quantiles_lie_within_their_bucket(within: dict[float, float], share: float, wanted: float | None) -> None:
    assert Counted(within=within).quantile_s(share) == (None if wanted is None else pytest.approx(wanted))


def test_what_happened_between_two_looks_and_counters_that_began_anew() -> None:
    before = Counted(100.0, 5.0, {0.01: 60.0, math.inf: 100.0})
    later = Counted(150.0, 5.0, {0.01: 100.0, math.inf: 150.0})
    assert later.since(before) == Counted(50.0, 0.0, {0.01: 40.0, math.inf: 50.0})
    assert before.since(later) == before


def test_a_frame_tells_of_champion_challenger_gates_and_alarms(played: Any, sidecar: Run) -> None:
    done = sidecar("top", "--once", "--interval", "0.5")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith(f"sidecar {played.url} ")
    assert "fraud 3 champion critical 0.0 – –" in lines
    assert "4 healthy 5.5 ms 2.00% 97.00% 98 1 pass · 1 wait: pairs" in lines
    assert "critical fraud amount is ×0.01 since 12:00" in lines
    assert "fix the feed, do not retrain" in lines


CANARY = CanaryStatus(
    version="4", weight=0.25, step=2, steps=(CanaryStep(0.1, 60.0, 9), CanaryStep(0.25, 60.0, 9)), since=NOW,
    step_since=NOW, verdict="insufficient", gates=(), waits=None,
)  # fmt: skip


def test_a_canary_is_told_of_champion_and_challenger(played: Any, sidecar: Run) -> None:
    status = answers.deployment(msgspec.structs.replace(FRAUD, state="canary", canary=CANARY))
    played.answer("/v1/deployments", {"items": [status], "waits": None})
    played.answer("/v1/alarms", {"items": []})
    lines = [" ".join(line.split()) for line in sidecar("top", "--once", "--interval", "0.5").stdout.splitlines()]
    assert "fraud 3 champion canary 0.0 – –" in lines
    assert any("healthy, canary 0.25," in line for line in lines)
    shown = " ".join(sidecar("status").stdout.split())
    assert "canary" in shown
    assert "step 2/2" in shown


def test_what_is_refused_of_one_challenger_is_told_in_its_place(played: Any, sidecar: Run) -> None:
    played.problem("/v1/deployments/fraud/gates?challenger=4", 503, "no evidence \x1b[31myet")
    played.problem("/v1/deployments/fraud/comparison?challenger=4", 503, "none")
    played.answer("/v1/alarms", {"items": []})
    done = sidecar("top", "--once", "--interval", "0.5")
    assert done.exit_code == 0
    assert "no evidence \\x1b[31myet" in done.stdout
    assert "no alarms" in done.stdout


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [("/v1/deployments", 401, "send a token"), ("/metrics", 403, "role viewer"), ("/v1/alarms", 503, "no store")],
)
def test_who_may_not_look_is_told_and_exit_code_2(played: Any, sidecar: Run, path: str, status: int, says: str) -> None:
    played.problem(path, status, says)
    done = sidecar("top")
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_nothing_to_watch_is_said(played: Any, sidecar: Run) -> None:
    played.answer("/v1/deployments", {"items": [], "waits": "No worker routes traffic yet."})
    played.answer("/v1/alarms", {"items": []})
    done = sidecar("top", "--once", "--interval", "0.5")
    assert "No worker routes traffic yet." in done.stdout
    assert "no deployments; add one to the configuration" in done.stdout
