from __future__ import annotations

import pytest

from sidecar.observe.row_budget import RowBudget


def admitted(budget: RowBudget, rows_a_second: int, at: float, rows: int = 1) -> int:
    return sum(rows * budget.admits(f"{at}-{number}", rows, at) for number in range(rows_a_second // rows))


def test_traffic_within_the_budget_is_sampled_whole() -> None:
    budget = RowBudget(1000)
    assert [admitted(budget, 900, float(second)) for second in range(5)] == [900] * 5


@pytest.mark.parametrize("load", [4_000, 20_000])
def test_steady_traffic_above_the_budget_is_cut_to_about_it(load: int) -> None:
    budget = RowBudget(1000)
    for second in range(4):
        sampled = admitted(budget, load, float(second), rows=2)
    assert 800 <= sampled <= 1200


def test_a_burst_out_of_nothing_is_bounded_although_no_second_came_before_it() -> None:
    assert admitted(RowBudget(1000), 50_000, 7.5) < 6_000


def test_the_rate_comes_back_when_the_burst_is_over() -> None:
    budget = RowBudget(1000)
    admitted(budget, 20_000, 1.0)
    admitted(budget, 100, 2.0)
    assert admitted(budget, 100, 3.0) == 100


def test_the_choice_is_by_the_id_alone() -> None:
    one, other = RowBudget(100), RowBudget(100)
    admitted(one, 1000, 1.0)
    admitted(other, 1000, 1.0)
    ids = [f"id-{number}" for number in range(50)]
    assert [one.admits(i, 1, 2.0) for i in ids] == [other.admits(i, 1, 2.0) for i in ids]


def test_a_larger_rate_samples_a_superset() -> None:
    small, large = RowBudget(100), RowBudget(400)
    for budget in (small, large):
        admitted(budget, 2000, 1.0)
    ids = [f"id-{number}" for number in range(90)]
    assert {i for i in ids if small.admits(i, 1, 2.0)} <= {i for i in ids if large.admits(i, 1, 2.0)}


def test_hostile_ids_and_a_clock_that_goes_back_are_taken() -> None:
    budget = RowBudget(10)
    for request_id, rows, at in (("", 1, 5.0), ("\ud800", 10**9, 5.1), ("x" * 10_000, 0, 1.0), ("y", 1, -3.0)):
        assert budget.admits(request_id, rows, at) in (True, False)
