"""The whole path of watching: runs of two paths become figures, ratios and a share that is accounted for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.rows import watched
from bench.rows.watched import FEATURES, LIMIT, UNWATCHED, WATCHED, Run, judged


def run(path: str, cpu_us: float, **other: object) -> Run:
    fields: dict[str, object] = {
        "control_us": 60.0,
        "requests_per_s": 5_100.0,
        "requests": 10_000,
        "rows": 10_000 if path == WATCHED else 0,
        "dropped": {},
        "errors": 0,
        "elsewhere": 0.01,
    }
    return Run(path, cpu_us, **{**fields, **other})  # type: ignore[arg-type]


def test_the_workers_price_is_a_ratio_within_each_round() -> None:
    runs = [run(WATCHED, 44.0), run(UNWATCHED, 40.0), run(UNWATCHED, 80.0), run(WATCHED, 90.0)]
    price = judged(runs, 650.0).findings[-1]
    assert price.reached is not None
    assert price.reached.median == pytest.approx((44 / 40 + 90 / 80) / 2)
    assert price.met
    assert price.limit == LIMIT


@pytest.mark.parametrize(
    ("rows", "dropped", "met"),
    [
        (10_000, {}, True),
        (7_000, {"capture/bytes_full": 3_000}, True),
        (9_960, {}, True),
        (9_000, {}, False),
        (0, {"capture/control_down": 9_000}, False),
    ],
    ids=["all counted", "some dropped and told", "sent and not waited for", "lost", "lost and dropped"],
)
def test_what_is_neither_counted_nor_told_is_a_loss(rows: int, dropped: dict[str, int], *, met: bool) -> None:
    found = judged([run(WATCHED, 44.0, rows=rows, dropped=dropped), run(UNWATCHED, 40.0)], 650.0)
    assert found.findings[1].met is met


def test_too_slow_a_pace_is_told() -> None:
    found = judged([run(WATCHED, 44.0, requests_per_s=4_000.0), run(UNWATCHED, 40.0)], 650.0)
    assert found.findings[0].met is False


def test_the_table_has_both_paths_and_what_was_dropped() -> None:
    dropped = {"capture/bytes_full": 500}
    found = judged([run(WATCHED, 44.0, rows=9_500, dropped=dropped), run(UNWATCHED, 40.0, control_us=1.0)], 650.0)
    assert [row[0] for row in found.tables[0].rows] == [WATCHED, UNWATCHED]
    assert found.tables[0].rows[0][4:6] == ("95.0%", "5.0%")
    assert found.tables[0].rows[1][4:6] == ("–", "–")


def test_requests_are_rows_of_thirty_numbers_about_as_long_as_usual() -> None:
    bodies = watched.bodies(watched.rows_of_features(np.random.default_rng(1), 50))
    assert all(600 <= len(body) <= 900 for body in bodies), sorted(map(len, bodies))[:: len(bodies) - 1]
    (tensor,) = json.loads(bodies[0])["inputs"]
    assert tensor["shape"] == [1, FEATURES]
    assert len(tensor["data"]) == FEATURES
