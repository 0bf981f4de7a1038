from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.from_columns import build_baseline
from sidecar.observe.watched_column import QUIET_BUCKETS, ColumnDocument, WatchedColumn

RNG = np.random.default_rng(5)
BASELINE = build_baseline(
    {
        "amount": np.exp(RNG.normal(8.0, 1.0, 20_000)),
        "city": RNG.choice(["Bonn", "Kyiv", "Lima"], size=20_000).tolist(),
    },
    now=datetime(2026, 1, 1, tzinfo=UTC),
)


def _column(name: str = "amount") -> WatchedColumn:
    return WatchedColumn(BASELINE.by_name[name], tolerance=0.005, threshold=1e5, now=0.0)


def _amounts(rng: np.random.Generator, n: int = 100) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.normal(8.0, 1.0, n)), dtype=np.float64)


def test_an_alarm_ends_only_after_thirty_quiet_buckets() -> None:
    rng, column = np.random.default_rng(1), _column()
    column.count(_amounts(rng) / 100)
    assert column.close(60.0)
    onsets = [column.alarmed_since]
    for bucket in range(1, QUIET_BUCKETS + 1):
        column.count(_amounts(rng))
        assert column.close(60.0 * (bucket + 1)) == (bucket == QUIET_BUCKETS)
        onsets.append(column.alarmed_since)
    assert onsets == [0.0] * QUIET_BUCKETS + [None]
    assert column.shown.sum() == 0


def test_one_bad_bucket_starts_the_quiet_run_anew() -> None:
    rng, column = np.random.default_rng(2), _column()
    column.count(_amounts(rng) / 100)
    column.close(60.0)
    ended_after = None
    for bucket in range(1, 80):
        column.count(_amounts(rng) / (100 if bucket == 20 else 1))
        column.close(60.0 * (bucket + 1))
        if column.alarmed_since is None:
            ended_after = bucket
            break
    assert ended_after == 20 + QUIET_BUCKETS


def test_buckets_without_rows_do_not_heal() -> None:
    rng, column = np.random.default_rng(3), _column()
    column.count(_amounts(rng) / 100)
    column.close(60.0)
    for bucket in range(200):
        assert not column.close(120.0 + bucket)
    assert column.alarmed_since == 0.0


@pytest.mark.parametrize("rows", [60, 250])
def test_rows_from_before_the_onset_do_not_stay_in_the_sentence(rows: int) -> None:
    rng, column = np.random.default_rng(41), _column()
    for bucket in range(5):
        column.count(_amounts(rng, rows))
        column.close(60.0 * (bucket + 1))
    # The feed breaks in the middle of a bucket: this one holds both.
    column.count(np.concatenate([_amounts(rng, 2 * rows // 3), _amounts(rng, rows // 3) / 100]))
    column.close(360.0)
    kinds = []
    for bucket in range(6):
        column.count(_amounts(rng, rows) / 100)
        column.close(420.0 + 60 * bucket)
        kinds.append(column.cause.kind if column.cause else None)
    assert column.alarmed_since == 300.0
    assert column.cause is not None
    assert column.cause.factor == 0.01
    assert column.cause.share > 0.99
    assert "of the rows" not in column.cause.says
    assert set(kinds[kinds.index("scale") :]) == {"scale"}, "a kind that was named does not flip"


def test_a_fault_in_half_of_the_rows_keeps_its_share() -> None:
    rng, column = np.random.default_rng(42), _column()
    for bucket in range(8):
        column.count(np.concatenate([_amounts(rng, 200), _amounts(rng, 200) / 100]))
        column.close(60.0 * (bucket + 1))
    assert column.cause is not None
    assert column.cause.share == pytest.approx(0.5, abs=0.08)


def test_a_cause_once_named_stays_and_its_share_is_kept_up_to_date() -> None:
    rng, column = np.random.default_rng(40), _column()
    column.count(np.concatenate([_amounts(rng, 150), _amounts(rng, 150) / 100]))
    column.close(60.0)
    assert column.cause is not None
    first = column.cause.share
    assert column.cause.factor == 0.01
    for bucket in range(5):
        column.count(_amounts(rng, 500) / 100)
        assert not column.close(120.0 + 60 * bucket), "the same cause is no news"
    assert column.cause.share > first
    for bucket in range(10):
        column.count(_amounts(rng))
        column.close(600.0 + 60 * bucket)
    assert column.cause.factor == 0.01


def test_naming_is_tried_again_until_it_succeeds() -> None:
    rng, column = np.random.default_rng(5), _column()
    column.count(_amounts(rng, 40) / 100)
    assert column.close(60.0)
    kinds = [column.cause and column.cause.kind]  # 40 rows are too few to name anything
    column.count(_amounts(rng, 100) / 100)
    assert column.close(120.0)
    kinds.append(column.cause and column.cause.kind)
    assert kinds == ["unexplained", "scale"]


def test_memory_stays_bounded_under_any_traffic() -> None:
    rng, column = np.random.default_rng(6), _column()
    for bucket in range(100):
        column.count(_amounts(rng, 1_500))
        column.close(60.0 * bucket)
    document = column.to_document()
    assert sum(sum(held.numbers.counts) for held in document.recent) <= 3_500
    assert len(document.detector.buckets) == 64
    assert len(msgspec.msgpack.encode(document)) < 40_000


def test_hostile_categories_keep_names_and_memory_small() -> None:
    column = _column("city")
    for bucket in range(20):
        column.count([f"{bucket}-{index}-" + "\x00" * 5_000 for index in range(200)])
        column.close(60.0 * bucket)
    document = column.to_document()
    assert len(document.unseen) <= 16
    assert all(len(text) <= 40 and text.isprintable() for text, _ in document.unseen)
    assert column.cause is not None
    assert column.cause.kind == "new_category"


@pytest.mark.parametrize(("value", "word"), [("12", "text"), (True, "boolean"), ([1.0], "list"), ({"a": 1}, "object")])
def test_a_wrong_type_is_told_by_its_json_name(value: object, word: str) -> None:
    column = _column()
    column.count([value] * 200)
    column.close(60.0)
    assert column.cause is not None
    assert (column.cause.kind, column.cause.type_to) == ("type", word)


def test_a_constant_fill_is_told_with_its_exact_value() -> None:
    rng, column = np.random.default_rng(7), _column()
    column.count(np.where(rng.random(600) < 0.5, 3.14159, _amounts(rng, 600)))
    column.close(60.0)
    assert column.cause is not None
    assert (column.cause.kind, column.cause.value) == ("constant", 3.14159)


def test_a_restored_column_goes_on_as_if_nothing_had_happened() -> None:
    rng, one, other = np.random.default_rng(8), _column(), _column()
    for bucket in range(10):
        one.count(_amounts(rng) / (100 if bucket > 5 else 1))
        one.close(60.0 * bucket)
    one.count(_amounts(rng, 30))
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(one.to_document()), type=ColumnDocument))
    assert other.to_document() == one.to_document()
    rows = _amounts(rng)
    for column in (one, other):
        column.count(rows)
        column.close(1_000.0)
    assert other.to_document() == one.to_document()


def test_a_document_of_other_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="cells"):
        _column("city").restore(_column("amount").to_document())
