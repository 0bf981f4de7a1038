"""A held baseline judges as the document does, and takes little memory."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest

from registry_client import build_baseline, from_json, to_json
from registry_client.errors import InvalidDocument
from registry_client.held_baseline import packed, unpacked

COLUMNS = 40


@pytest.fixture(scope="module")
def document() -> bytes:
    rng = np.random.default_rng(1)
    table = {f"n{number}": rng.lognormal(3.0, 2.0, 5_000) for number in range(COLUMNS)}
    table["colour"] = rng.choice(["red", "green"], 5_000)
    table["score"] = rng.random(5_000)
    return to_json(build_baseline(table, now=datetime(2026, 1, 1, tzinfo=UTC), prediction="score"))


def test_what_watching_needs_is_the_documents_own(document: bytes) -> None:
    whole = from_json(document)
    small = unpacked(packed(whole))
    assert small.digest == whole.digest
    columns = zip((*small.features, small.prediction), (*whole.features, whole.prediction), strict=True)
    for one, other in columns:
        assert one is not None
        assert other is not None
        assert one.cells == other.cells
        assert tuple(one.quantiles) == other.quantiles
        assert np.array_equal(np.asarray(one.quantiles), np.asarray(other.quantiles))
        kept = [name for name in one.__struct_fields__ if name not in ("quantiles", "log_histogram")]
        assert [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]


def test_no_document_is_made_of_it(document: bytes) -> None:
    with pytest.raises(InvalidDocument):
        to_json(unpacked(packed(from_json(document))))


def test_a_numeric_column_takes_few_kilobytes(document: bytes) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        small = unpacked(packed(from_json(document)))
        gc.collect()
        bytes_held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(small.features) == COLUMNS + 1
    assert bytes_held / COLUMNS < 8 * 1024
