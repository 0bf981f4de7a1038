from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_client.time_blocks import BLOCK_LIMIT, UNDATED, Blocks, days_of_values, united

DAY = 20_454  # 2026-01-01


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (date(2026, 1, 1), DAY),
        (datetime(2026, 1, 1, 23, 59), DAY),  # noqa: DTZ001 -- a time without a zone is read as UTC
        (datetime(2026, 1, 1, 23, 59, tzinfo=UTC), DAY),
        (datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=5))), DAY),
        ("2026-01-01", DAY),
        ("2026-01-01T23:59:59Z", DAY),
        (" 2026-01-02T01:00:00+05:00 ", DAY),
        ("1969-12-31", -1),
        (DAY * 86_400, DAY),
        (DAY * 86_400 - 1, DAY - 1),
        (DAY * 86_400_000 + 5, DAY),
        (DAY * 86_400_000_000 + 5, DAY),
        (DAY * 86_400_000_000_000, DAY),
        (DAY * 86_400 + 0.5, DAY),
        (None, UNDATED),
        (float("nan"), UNDATED),
        (np.datetime64("2026-01-01T12:00").item(), DAY),
    ],
)
def test_a_time_is_read_as_its_day_in_utc(value: Any, day: int) -> None:
    assert days_of_values([value, None]).tolist() == [day, UNDATED]


def test_arrays_of_times_are_read_in_one_step() -> None:
    times = np.array(["2026-01-01T23:59", "NaT", "1969-12-31"], dtype="datetime64[ns]")
    assert days_of_values(times).tolist() == [DAY, UNDATED, -1]
    assert days_of_values(np.array([DAY * 86_400.0, np.nan])).tolist() == [DAY, UNDATED]
    assert days_of_values(np.array([DAY * 86_400], dtype=np.uint32)).tolist() == [DAY]


@pytest.mark.parametrize(
    "value", ["soon", "", 5, 20_260_101, -1e9, 1e30, float("inf"), True, b"2026-01-01", [1], {}, object()]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"no .*times"):
        days_of_values([value])


@settings(max_examples=100, deadline=None)
@given(
    st.sets(st.integers(-(2**40), 2**40), max_size=90),
    st.sets(st.integers(-300, 300), max_size=90),
    st.booleans(),
)
def test_uniting_parts_of_days_equals_uniting_the_days(first: set[int], second: set[int], undated: bool) -> None:
    days = first | second | ({UNDATED} if undated else set())
    whole, _ = united([Blocks(0, tuple(sorted(days)))])
    left, _ = united([Blocks(0, tuple(sorted(first)))])
    right, _ = united([Blocks(0, tuple(sorted(days - first)))])
    again, (left_places, right_places) = united([left, right])
    assert again == whole
    assert len(again.dated) <= BLOCK_LIMIT
    for blocks, places in ((left, left_places), (right, right_places)):
        for number, place in zip(blocks.numbers, places, strict=True):
            assert again.numbers[place] == blocks.folded(number, again.span)


def test_the_first_and_last_day_are_those_of_the_blocks() -> None:
    blocks, _ = united([Blocks(0, (UNDATED, *range(DAY, DAY + 100)))])
    assert (blocks.span, len(blocks.dated)) == (1, 50)
    assert (blocks.first_day(), blocks.last_day()) == (date(2026, 1, 1), date(2026, 4, 10))
    assert (Blocks(0, (UNDATED,)).first_day(), Blocks(0, ()).last_day()) == (None, None)
    assert Blocks(0, (2**40,)).first_day() is None
