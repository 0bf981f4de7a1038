from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from registry_client.from_columns import build_baseline
from sidecar.observe.column_document import ColumnDocument
from sidecar.observe.watched_column import QUIET_BUCKETS
from tests.observe.one_column import OneColumn

RNG = np.random.default_rng(5)
BASELINE = build_baseline(
    {
        "amount": np.exp(RNG.normal(8.0, 1.0, 20_000)),
        "city": RNG.choice(["Bonn", "Kyiv", "Lima"], size=20_000).tolist(),
    },
    now=datetime(2026, 1, 1, tzinfo=UTC),
)


def _alarmed(column: OneColumn) -> bool:
    return column.column.alarmed_since is not None


def _column(name: str = "amount") -> OneColumn:
    return OneColumn(BASELINE, name)


def _amounts(rng: np.random.Generator, n: int = 100) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.normal(8.0, 1.0, n)), dtype=np.float64)


def test_an_alarm_ends_only_after_thirty_quiet_buckets() -> None:
    rng, column = np.random.default_rng(1), _column()
    column.count(_amounts(rng) / 100)
    assert column.close()
    onsets = [column.column.alarmed_since]
    for bucket in range(1, QUIET_BUCKETS + 1):
        column.count(_amounts(rng))
        assert column.close() == (bucket == QUIET_BUCKETS)
        onsets.append(column.column.alarmed_since)
    assert onsets == [0.0] * QUIET_BUCKETS + [None]
    assert column.column.shown.sum() == 0


def test_one_bad_bucket_starts_the_quiet_run_anew() -> None:
    rng, column = np.random.default_rng(2), _column()
    column.count(_amounts(rng) / 100)
    column.close()
    ended_after = None
    for bucket in range(1, 80):
        column.count(_amounts(rng) / (100 if bucket == 20 else 1))
        column.close()
        if column.column.alarmed_since is None:
            ended_after = bucket
            break
    assert ended_after == 20 + QUIET_BUCKETS


def test_buckets_without_rows_do_not_heal() -> None:
    rng, column = np.random.default_rng(3), _column()
    column.count(_amounts(rng) / 100)
    column.close()
    for _ in range(200):
        assert not column.close()
    assert column.column.alarmed_since == 0.0


@pytest.mark.parametrize("rows", [60, 250])
def test_rows_from_before_the_onset_do_not_stay_in_the_sentence(rows: int) -> None:
    rng, column = np.random.default_rng(41), _column()
    for _bucket in range(5):
        column.count(_amounts(rng, rows))
        column.close()
    # The feed breaks in the middle of a bucket: this one holds both.
    column.count(np.concatenate([_amounts(rng, 2 * rows // 3), _amounts(rng, rows // 3) / 100]))
    column.close()
    kinds = []
    for _bucket in range(6):
        column.count(_amounts(rng, rows) / 100)
        column.close()
        kinds.append(column.column.cause.kind if column.column.cause else None)
    assert column.column.alarmed_since == 300.0
    assert column.column.cause is not None
    assert column.column.cause.factor == 0.01
    assert column.column.cause.share > 0.99
    assert "of the rows" not in column.column.cause.says
    assert set(kinds[kinds.index("scale") :]) == {"scale"}, "a kind that was named does not flip"


def test_a_fault_in_half_of_the_rows_keeps_its_share() -> None:
    rng, column = np.random.default_rng(42), _column()
    for _bucket in range(8):
        column.count(np.concatenate([_amounts(rng, 200), _amounts(rng, 200) / 100]))
        column.close()
    assert column.column.cause is not None
    assert column.column.cause.share == pytest.approx(0.5, abs=0.08)


def test_a_cause_once_named_stays_and_its_share_is_kept_up_to_date() -> None:
    rng, column = np.random.default_rng(40), _column()
    column.count(np.concatenate([_amounts(rng, 150), _amounts(rng, 150) / 100]))
    column.close()
    assert column.column.cause is not None
    first = column.column.cause.share
    assert column.column.cause.factor == 0.01
    for _bucket in range(5):
        column.count(_amounts(rng, 500) / 100)
        assert not column.close(), "the same cause is no news"
    assert column.column.cause.share > first
    for _bucket in range(10):
        column.count(_amounts(rng))
        column.close()
    assert column.column.cause.factor == 0.01


def test_naming_is_tried_again_until_it_succeeds() -> None:
    rng, column = np.random.default_rng(5), _column()
    column.count(_amounts(rng, 40) / 100)
    assert column.close()
    kinds = [column.column.cause and column.column.cause.kind]  # 40 rows are too few to name anything
    column.count(_amounts(rng, 100) / 100)
    assert column.close()
    kinds.append(column.column.cause and column.column.cause.kind)
    assert kinds == ["unexplained", "scale"]


def test_memory_stays_bounded_under_any_traffic() -> None:
    rng, column = np.random.default_rng(6), _column()
    for _bucket in range(100):
        column.count(_amounts(rng, 1_500))
        column.close()
    document = column.column.to_document()
    assert sum(int(np.frombuffer(held.counts, dtype="<u8").sum()) for held in document.recent) <= 3_500
    assert len(document.detector.buckets) == 64
    assert len(msgspec.msgpack.encode(document)) < 40_000


def test_hostile_categories_keep_names_and_memory_small() -> None:
    column = _column("city")
    for bucket in range(20):
        column.count([f"{bucket}-{index}-" + "\x00" * 5_000 for index in range(200)])
        column.close()
    document = column.column.to_document()
    assert len(document.unseen) <= 16
    assert all(len(text) <= 40 and text.isprintable() for text, _ in document.unseen)
    assert column.column.cause is not None
    assert column.column.cause.kind == "new_category"


@pytest.mark.parametrize(("value", "word"), [("12", "text"), (True, "boolean"), ([1.0], "list"), ({"a": 1}, "object")])
def test_a_wrong_type_is_told_by_its_json_name(value: object, word: str) -> None:
    column = _column()
    column.count([value] * 200)
    column.close()
    assert column.column.cause is not None
    assert (column.column.cause.kind, column.column.cause.type_to) == ("type", word)


def test_a_constant_fill_is_told_with_its_exact_value() -> None:
    rng, column = np.random.default_rng(7), _column()
    column.count(np.where(rng.random(600) < 0.5, 3.14159, _amounts(rng, 600)))
    column.close()
    assert column.column.cause is not None
    assert (column.column.cause.kind, column.column.cause.value) == ("constant", 3.14159)


def test_a_restored_column_goes_on_as_if_nothing_had_happened() -> None:
    rng, one, other = np.random.default_rng(8), _column(), _column()
    for bucket in range(10):
        one.see(_amounts(rng) / (100 if bucket > 5 else 1))
    document = msgspec.msgpack.encode(one.column.to_document())
    other.column.restore(msgspec.msgpack.decode(document, type=ColumnDocument))
    other.bucket = one.bucket
    assert other.column.to_document() == one.column.to_document()
    rows = _amounts(rng)
    for column in (one, other):
        column.see(rows)
    assert other.column.to_document() == one.column.to_document()


def test_a_document_of_other_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="cells"):
        _column("city").column.restore(_column("amount").column.to_document())


def _aged(rng: np.random.Generator, n: int, shift: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.normal(8.0 + shift, 1.0, n)), dtype=np.float64)


@pytest.mark.parametrize("shift", [0.10, 0.13, 0.16, 0.20])
def test_traffic_at_the_border_of_the_tolerance_never_flaps(shift: float) -> None:
    rng, column = np.random.default_rng(int(shift * 100)), _column()
    alarmed = []
    for _ in range(400):
        column.see(_aged(rng, 400, shift))
        alarmed.append(_alarmed(column))
    # It may rise; what rose stays as long as the rows that raised it were not outweighed.
    assert sum(one != other for one, other in pairwise(alarmed)) <= 1


def test_a_slow_alarm_needs_as_many_quiet_rows_to_end_as_it_took_to_rise() -> None:
    rng, column = np.random.default_rng(77), _column()
    while not _alarmed(column):
        column.see(_aged(rng, 100, 0.3))
        assert column.bucket < 200
    took = column.column.to_document().alarm
    assert took is not None
    quiet = 0
    while _alarmed(column):
        column.see(_aged(rng, 20, 0.0))
        quiet += 20
        assert quiet < 20 * took.rows
    assert quiet >= max(took.rows, 20 * QUIET_BUCKETS)


def test_drift_that_goes_on_in_a_trickle_keeps_its_alarm() -> None:
    rng, column = np.random.default_rng(78), _column()
    while not _alarmed(column):
        column.see(_aged(rng, 500, 0.3))
    for _ in range(300):
        column.see(_aged(rng, 5, 0.3))  # too few to be loud, in any run of thirty
    assert _alarmed(column)


@pytest.mark.parametrize("trained", [1_000, 5_000])
def test_categories_that_training_was_too_small_to_see_are_no_drift(trained: int) -> None:
    rng = np.random.default_rng(trained)
    shares = rng.dirichlet(np.full(4_000, 0.3))
    names = np.array([f"N{place:05d}" for place in range(4_000)])
    built = build_baseline(
        {"tail": rng.choice(names, trained, p=shares).tolist()}, now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    column = OneColumn(built, "tail", threshold=1e3)
    assert not any(column.see(rng.choice(names, 200, p=shares).tolist()) for _ in range(150))
    assert any(column.see([f"new {place}" for place in range(150)] + names[:50].tolist()) for _ in range(5))
