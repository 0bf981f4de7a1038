from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]
QUEUE = {
    "differing": 40,
    "waiting": 2,
    "items": [
        {"request_id": "r-1", "row": 0, "at": "2026-01-01T00:00:00.000Z", "champion": "1", "challenger": "0"},
        {"request_id": 'r,"2', "row": 3, "at": "2026-01-01T00:00:01.000Z", "champion": "0", "challenger": "1"},
    ],
}


def words(result: Any) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_rows_to_label_are_shown_with_what_each_version_says(api: Any, sidecar: Run) -> None:
    api.answer("/v1/deployments/fraud/label-queue?limit=20", QUEUE)
    shown = words(sidecar("label-queue", "fraud"))
    assert "2 of 40 rows that are decided differently wait for an outcome" in shown
    assert "r-1" in shown


def test_rows_to_label_become_a_file_whose_outcomes_are_to_be_filled_in(api: Any, sidecar: Run) -> None:
    api.answer("/v1/deployments/fraud/label-queue?challenger=4&limit=5", QUEUE)
    done = sidecar("label-queue", "fraud", "--challenger", "4", "--limit", "5", "--csv")
    assert done.stdout == 'request_id,row,outcome\nr-1,0,\n"r,""2",3,\n'


def test_what_outcomes_say_stands_under_the_comparison(fraud: Any, sidecar: Run) -> None:
    answer = {
        "mirrored": 10, "answered": 10, "pairs": 10, "errors": {}, "dropped": {}, "agreement": None, "lost": 3,
        "score_difference": None, "latency_ms": {"champion": {}, "challenger": {}, "caveat": "other hardware"},
        "self_test": "this is a self-test",
        "noise_floor": 0.02,
        "noise": {
            "rows": 50, "self_disagreement": 0.02, "disagreement": 0.05, "says": "it is not deterministic",
            "excess": {"value": 0.03, "lower": -0.01, "upper": 0.07},
        },
        "outcomes": {
            "matched": 500, "better": 9, "worse": 5,
            "gaps": {"accuracy": {"value": 0.008, "lower": -0.01, "upper": 0.03}},
            "maturity": {"matched": 400, "coverage": 0.8, "refused": "outcomes cannot judge"},
            "segments": [{"segment": "c=web", "matched": 9, "inferior": True}],
        },
    }  # fmt: skip
    fraud.answer("/v1/deployments/fraud/comparison", answer)
    shown = words(sidecar("comparison", "fraud"))
    for says in (
        "lost before they were compared 3", "this is a self-test", "other hardware", "it is not deterministic",
        "outcomes cannot judge", "worse in segments c=web", "9 / 5", "+0.0080 (between -0.0100 and +0.0300)",
    ):  # fmt: skip
        assert says in shown, says
