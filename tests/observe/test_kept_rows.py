from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sidecar.observe.kept_rows import LONGEST_TEXT, KeptRows
from sidecar.records import Column, Prediction, Sample

NOW = 1_800_000_000.0


def _sample(name: str = "r", at: float = NOW, prediction: Prediction | None = None, **columns: Column) -> Sample:
    return Sample(name, at, len(next(iter(columns.values()))), columns, prediction)


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    rows = KeptRows(0, 3600.0)
    rows.keep(_sample(amount=[1.0]))
    assert (rows.enabled, len(rows), rows.newest(9, NOW)) == (False, 0, ())


def test_a_row_is_found_by_its_request_and_place_with_what_the_champion_said() -> None:
    rows = KeptRows(10, 3600.0)
    said = Prediction(labels=("no", "yes"), scores=(0.25, 0.75))
    rows.keep(_sample("a", prediction=said, amount=np.array([1.5, 2.5]), city=["Bonn", None]))
    found = rows.find("a", 1, NOW)
    assert found is not None
    assert (found.values, found.score, found.label, found.at) == ({"amount": 2.5, "city": None}, 0.75, "yes", NOW)
    assert type(found.values["amount"]) is float
    assert rows.find("a", 2, NOW) is None
    assert rows.find("b", 0, NOW) is None


def test_a_prediction_of_other_rows_is_none_of_theirs() -> None:
    rows = KeptRows(10, 3600.0)
    rows.keep(_sample("a", prediction=Prediction(labels=None, scores=(0.5,)), amount=[1.0, 2.0]))
    assert [row.score for row in rows.newest(9, NOW)] == [None, None]


def test_only_the_newest_stay_and_come_first() -> None:
    rows = KeptRows(3, 3600.0)
    for number in range(5):
        rows.keep(_sample(f"r{number}", at=NOW + number, amount=[float(number)]))
    assert [row.request_id for row in rows.newest(9, NOW + 5)] == ["r4", "r3", "r2"]
    assert [row.request_id for row in rows.newest(2, NOW + 5)] == ["r4", "r3"]
    assert rows.find("r1", 0, NOW + 5) is None
    rows.keep(_sample("batch", at=NOW + 5, amount=np.arange(1000.0)))
    assert len(rows) == 3
    assert [row.row for row in rows.newest(9, NOW + 5)] == [999, 998, 997]


def test_a_request_that_comes_again_takes_the_place_of_its_rows() -> None:
    rows = KeptRows(3, 3600.0)
    rows.keep(_sample("a", amount=[1.0]))
    rows.keep(_sample("b", amount=[2.0]))
    rows.keep(_sample("a", at=NOW + 1, amount=[3.0]))
    assert [(row.request_id, row.values["amount"]) for row in rows.newest(9, NOW + 1)] == [("a", 3.0), ("b", 2.0)]


def test_no_row_outlives_its_age() -> None:
    rows = KeptRows(10, 60.0)
    rows.keep(_sample("a", amount=[1.0]))
    assert rows.find("a", 0, NOW + 60) is not None
    assert rows.find("a", 0, NOW + 61) is None
    assert rows.newest(9, NOW + 61) == ()
    rows.expire(NOW + 61)
    assert len(rows) == 0
    rows.keep(_sample("b", at=NOW + 100, amount=[1.0]))
    rows.clear()
    assert (len(rows), rows.form) == (0, None)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1, True), (None, True), (True, True), (float("nan"), True), ("x" * LONGEST_TEXT, True),
        ("x" * (LONGEST_TEXT + 1), False), ([1], False), ({"a": 1}, False), (1 << 5000, False), (b"raw", False),
        ((1 << 1_024) - 1, False), (-(1 << 1_024) + 1, False), ((1 << 1_023) - 1, True),
    ],
)  # fmt: skip
def test_only_small_plain_values_are_kept(value: object, kept: bool) -> None:
    rows = KeptRows(10, 60.0)
    rows.keep(_sample("a", odd=[value], amount=[1.0]))
    (row,) = rows.newest(1, NOW)
    assert ("odd" in row.values) is kept
    assert row.values["amount"] == 1.0


def test_tensors_and_columns_of_another_length_are_left_out() -> None:
    rows = KeptRows(10, 60.0)
    rows.keep(Sample("a", NOW, 2, {"image": np.zeros((2, 9)), "short": [1], "amount": [1.0, 2.0]}, None))
    assert [dict(row.values) for row in rows.newest(9, NOW)] == [{"amount": 2.0}, {"amount": 1.0}]


def test_a_row_that_is_printed_by_mistake_tells_nothing() -> None:
    rows = KeptRows(10, 60.0)
    rows.keep(_sample("a", secret=["4111-1111"]))
    (row,) = rows.newest(1, NOW)
    assert "4111" not in repr(row)
    assert "4111" not in str((row,))
    assert "4111" not in repr(rows)


def test_the_rows_cannot_be_written_into_a_snapshot() -> None:
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(KeptRows(10, 60.0))
