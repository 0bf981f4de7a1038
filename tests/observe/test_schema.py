from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.observe.bucket_counts import MOST_EXTRA
from sidecar.observe.ruler import Ruler
from sidecar.payload.columns import Columns
from sidecar.records import Sample
from sidecar.reports import DriftReport
from tests.observe.drift_traffic import BASELINE, CREATED, TRAINED, live_rows, observer, sample, told

RNG = np.random.default_rng(3)


def schema(report: DriftReport) -> Mapping[str, int]:
    assert report.schema is not None
    return {name: count for name, count in zip(report.schema.cells, report.schema.live_counts, strict=True) if count}


def test_rows_as_training_had_them_are_no_news() -> None:
    watch = observer()
    for bucket in range(50):
        watch.fold(sample(live_rows(RNG, 40), 40, at=60.0 * bucket))
        watch.tick(60.0 * (bucket + 1))
    report = watch.report()
    assert report.schema is not None
    assert (schema(report), report.schema.alarm, report.extra) == ({"as trained": 2_000}, False, ())
    assert report.schema.e_value < 1


def test_bodies_that_nothing_can_be_read_of_are_a_broken_feed() -> None:
    watch = observer()
    watch.fold(sample(live_rows(RNG, 100), 100))
    for place in range(30):
        watch.count_undecodable(1, 60.0 + place)
    watch.tick(60.0)
    (change,) = watch.tick(120.0)
    assert (change.key, change.kind, change.since) == ("schema", "data.broken", 60.0)
    assert schema(watch.report()) == {"unreadable": 30}
    assert watch.report().schema is not None
    cause = watch.report().schema.cause  # type: ignore[union-attr]
    assert cause is not None
    assert (cause.kind, cause.share, cause.type_to) == ("type", 1.0, "unreadable")


def test_a_few_bodies_that_cannot_be_read_are_counted_and_no_alarm() -> None:
    watch = observer()
    for bucket in range(20):
        watch.fold(sample(live_rows(RNG, 999), 999, at=60.0 * bucket))
        watch.count_undecodable(1, 60.0 * bucket)
        assert watch.tick(60.0 * (bucket + 1)) == ()
    assert schema(watch.report()) == {"as trained": 19_980, "unreadable": 20}


def test_a_key_that_training_always_had_is_missed_and_one_that_it_lacked_at_times_is_not() -> None:
    city = [None if place % 10 == 0 else name for place, name in enumerate(TRAINED["city"])]
    watch = observer(baseline=build_baseline({"age": TRAINED["age"], "city": city}, now=CREATED))
    rows = live_rows(RNG, 300)
    watch.fold(sample({"age": rows["age"]}, 300))
    assert schema(watch.report()) == {"as trained": 300}
    watch.fold(sample({"city": rows["city"]}, 300))
    assert schema(watch.report()) == {"as trained": 300, "keys missing": 300}
    assert told(watch.report(), "age").missing == 0.5
    changes = {change.key: change for change in watch.tick(60.0)}
    assert "50.0% of the rows lack a key" in changes["schema"].says


def test_keys_that_training_did_not_have_are_counted_by_name() -> None:
    watch = observer()
    rows = live_rows(RNG, 10)
    watch.fold(sample({**rows, "zip": [1] * 10, "note\n": ["x"] * 10}, 10))
    watch.fold(sample({**live_rows(RNG, 1), "zip": [1]}, 1))
    assert [(extra.name, extra.rows) for extra in watch.report().extra] == [("zip", 11), ("note�", 10)]
    watch.tick(60.0)
    again = observer()
    again.restore(watch.snapshot())
    assert again.report().extra == watch.report().extra
    assert schema(watch.report()) == {"as trained": 11}


def test_ever_new_keys_stay_bounded_whatever_their_order() -> None:
    names = [f"key {place} {'x' * 100}" for place in range(5_000)]
    seen = []
    for order in (range(5_000), range(4_999, -1, -1)):
        watch = observer()
        for start in range(0, 5_000, 500):
            keys = {names[order[place]]: [1] for place in range(start, start + 500)}
            watch.fold(sample({**live_rows(RNG, 1), **keys}, 1))
        report = watch.report()
        assert len(report.extra) == MOST_EXTRA
        assert all(len(extra.name) <= 40 for extra in report.extra)
        seen.append(report.extra)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("wide", [False, True])
def test_blocks_of_numbers_are_counted_as_the_same_columns_are(wide: bool) -> None:
    names = ("amount", "age")
    one, other = observer(), observer()
    for n in (1, 1, 700, 3):
        rows = live_rows(RNG, n)
        matrix = np.column_stack([rows["amount"], rows["age"]]).astype(np.float64)
        others: dict[str, Any] = {"city": rows["city"]}
        block: Mapping[str, Any] = (
            Columns(n, (*names, "more"), np.column_stack([matrix, matrix[:, 0]]), others, (*names, "more", "city"))
            if wide
            else Columns(n, names, matrix, others, (*names, "city"))
        )
        one.fold(Sample("r", 0.0, n, block, None))
        plain = {"amount": matrix[:, 0], "age": matrix[:, 1], "city": rows["city"]}
        other.fold(sample(plain | ({"more": matrix[:, 0].tolist()} if wide else {}), n))
    assert one.report() == other.report()
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    "block",
    [
        Columns(2, ("amount",), np.ones((2, 1)), {"age": [1]}, ("amount", "age")),
        Columns(3, ("amount",), np.ones((3, 1))),
        Columns(2, ("nothing",), np.ones((2, 1))),
        Columns(2, (), np.empty((2, 0))),
    ],
)
def test_blocks_that_do_not_fit_are_unreadable_and_change_nothing(block: Columns) -> None:
    watch = observer()
    watch.fold(Sample("r", 0.0, 2, block, None))
    assert schema(watch.report()) == {"unreadable": 2}
    assert all(feature.n == 0 for feature in watch.report().features)


def test_the_ruler_puts_the_prediction_first_and_the_schema_last() -> None:
    ruler = Ruler(BASELINE)
    assert [ruler.key(number) for number in range(len(ruler.columns))] == [
        "prediction",
        "feature/amount",
        "feature/age",
        "feature/city",
        "schema",
    ]
    assert ruler.offsets[-1] == ruler.size == sum(column.cells.size for column in ruler.columns)


def test_lengths_of_lists_and_absent_keys_are_told_to_whoever_names_the_cause() -> None:
    watch = observer()
    rows = live_rows(RNG, 200)
    watch.fold(sample({"age": [[1, 2, 3]] * 200, "city": rows["city"]}, 200))
    watch.tick(60.0)
    columns = watch._skew.columns
    ruler = Ruler(BASELINE)
    age, amount = columns[ruler.numbers["age"]].evidence(), columns[ruler.numbers["amount"]].evidence()
    assert age is not None
    assert amount is not None
    assert (age.lengths, dict(age.types), amount.absent) == ((3,), {"list": 200}, 200)


def test_a_key_that_stays_away_is_said_to_be_absent_in_every_later_bucket() -> None:
    watch = observer()
    for bucket in range(40):
        rows = live_rows(RNG, 100)
        watch.fold(sample({name: rows[name] for name in rows if name != "amount"}, 100, at=60.0 * bucket))
        watch.tick(60.0 * (bucket + 1))
    cause = next(f.cause for f in watch.report().features if f.name == "amount")
    assert cause is not None
    assert cause.kind == "missing"
    assert cause.says.endswith("requests lack the key itself")
