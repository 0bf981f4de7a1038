from __future__ import annotations

import pytest

from sidecar.observe.cohorts import decisions_of
from sidecar.observe.judged import RowPrediction
from sidecar.observe.label_queue import LIMIT, LabelQueue, LabelQueues


def offered(rows: int) -> LabelQueue:
    queue = LabelQueue()
    for number in range(rows):
        queue.offer(f"r-{number}", 0, 1_000.0 + number, "1", "0")
    return queue


def test_only_rows_that_are_decided_differently_wait() -> None:
    queues = LabelQueues()
    rows = {"same": (("1", None), ("1", None)), "other": (("1", None), ("0", None)), "near": ((None, 0.6), (None, 0.9))}
    for name, said in {**rows, "across": ((None, 0.6), (None, 0.4))}.items():
        predictions = {version: RowPrediction(*one) for version, one in zip("34", said, strict=True)}
        queues.offer(name, 0, 1.0, "3", decisions_of(predictions, 0.5))
    queue = queues.of("4")
    report = queue.report(10)
    assert (report.differing, report.waiting) == (2, 2)
    assert {(one.request_id, one.row, one.champion, one.challenger) for one in report.items} == {
        ("other", 0, "1", "0"),
        ("across", 0, "1", "0"),
    }


def test_a_row_whose_outcome_came_waits_no_longer() -> None:
    queue = offered(3)
    queue.labelled("r-1", 0)
    queue.labelled("r-1", 0)
    assert {one.request_id for one in queue.report(10).items} == {"r-0", "r-2"}


def test_the_sample_does_not_depend_on_when_a_row_came() -> None:
    queue = offered(6 * LIMIT)
    report = queue.report(LIMIT)
    assert report.differing == 6 * LIMIT
    assert LIMIT <= report.waiting <= 2 * LIMIT
    ages = [one.at for one in report.items]
    assert 0.42 < sum(at < 1_000.0 + 3 * LIMIT for at in ages) / LIMIT < 0.58
    assert list(report.items) == sorted(report.items, key=lambda one: one.order)
    assert len(queue.report(5).items) == 5


def test_after_a_restart_later_rows_are_no_likelier_than_earlier_ones() -> None:
    queues, again = LabelQueues(), LabelQueues()
    for number in range(6 * LIMIT):
        queues.offer(f"r-{number}", 0, 1.0, "3", {"3": "1", "4": "0"})
    again.restore(queues.snapshot())
    for later in (queues, again):
        for number in range(6 * LIMIT, 7 * LIMIT):
            later.offer(f"r-{number}", 0, 2.0, "3", {"3": "1", "4": "0"})
    assert again.of("4").report(2 * LIMIT) == queues.of("4").report(2 * LIMIT)


def test_each_challenger_has_a_queue_and_a_restart_keeps_them() -> None:
    queues, again = LabelQueues(), LabelQueues()
    queues.offer("a", 0, 1.0, "3", {"3": "1", "4": "0", "5": "1"})
    queues.offer("b", 0, 1.0, "3", {"4": "0"})
    again.restore(queues.snapshot())
    assert [again.of(version).report(9).differing for version in ("4", "5")] == [1, 0]
    assert again.of("4").report(9) == queues.of("4").report(9)
    again.labelled("a", 0)
    assert again.of("4").report(9).waiting == 0
    again.forget("4")
    assert again.of("4").report(9).differing == 0
    with pytest.raises(ValueError, match=r"."):
        again.restore(b"\x81")
