"""The functions that Ray's tasks run, without Ray: `make example-ray` runs them with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.baseline_on_ray import ROLES, merged, part_of, write_payments
from registry_client import build_from_file, to_json

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_payments(tmp_path_factory.mktemp("payments"), partitions=5, rows=2_000)


def test_parts_in_any_order_give_the_baseline_of_one_build(paths: list[str]) -> None:
    parts = [part_of(path) for path in paths]
    whole = build_from_file(list(paths), **ROLES, now=NOW)

    for order in (parts, parts[::-1], [*parts[2:], *parts[:2]]):
        assert to_json(merged(order).baseline(now=NOW)) == to_json(whole)
    assert whole.rows == 10_000
    assert whole.by_name["amount"].blocks > 10


def test_what_travels_is_small(paths: list[str]) -> None:
    assert all(len(part_of(path)) < Path(path).stat().st_size * 4 for path in paths)
    assert max(len(part_of(path)) for path in paths) < 4 << 20


def test_a_part_lost_is_rows_lost_and_shows(paths: list[str]) -> None:
    assert merged(part_of(path) for path in paths[1:]).baseline(now=NOW).rows == 8_000
