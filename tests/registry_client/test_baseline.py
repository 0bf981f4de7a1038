from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_client.baseline import (
    DOCUMENT_LIMIT_BYTES,
    FORMAT,
    Baseline,
    Source,
    from_json,
    named_for,
    sealed,
    to_json,
)
from registry_client.cells import CategoricalCells, NumericCells
from registry_client.errors import InvalidDocument
from registry_client.from_columns import build_baseline

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def small() -> Baseline:
    generator = np.random.default_rng(1)
    columns = {
        "amount": generator.lognormal(size=400),
        "country": generator.choice(["DE", "FR", "IT"], 400).tolist(),
        "score": generator.random(400),
        "fraud": generator.integers(0, 2, 400),
    }
    return build_baseline(columns, prediction="score", outcome="fraud", name="payments", now=NOW)


def resealed(document: dict[str, Any]) -> bytes:
    """The document with the digest of its (possibly hostile) content."""
    document.pop("digest", None)
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps(document | {"digest": f"sha256:{sha256(content).hexdigest()}"}).encode()


def test_a_baseline_reads_back_as_it_was_written() -> None:
    baseline = small()
    again = from_json(to_json(baseline))
    assert again == baseline
    assert to_json(again) == to_json(baseline)
    assert again.created_at == NOW


def test_the_digest_is_that_of_the_canonical_document_as_anyone_can_compute_it() -> None:
    document = json.loads(to_json(small()))
    digest = document.pop("digest")
    canonical = msgspec.json.encode(document, order="sorted")
    assert digest == f"sha256:{sha256(canonical).hexdigest()}"


def test_a_document_from_before_variation_and_calibration_were_kept_still_reads() -> None:
    document = json.loads(to_json(small()))
    assert document.pop("calibration")
    old = from_json(resealed(document))
    assert (old.calibration, old.time, old.features[0].blocks, old.features[0].overdispersion) == (None, None, 0, 1.0)
    assert to_json(old) == msgspec.json.encode(json.loads(to_json(old)), order="sorted")


def test_columns_give_their_rulers() -> None:
    baseline = from_json(to_json(small()))
    amount, country = baseline.by_name["amount"], baseline.by_name["country"]
    assert isinstance(amount.cells, NumericCells)
    assert isinstance(country.cells, CategoricalCells)
    assert amount.cells is amount.cells
    assert amount.cells.size == len(amount.counts)
    assert country.cells.count(["DE", "XX"]).sum() == 2


def test_a_baseline_named_for_a_version_has_a_digest_of_its_own() -> None:
    baseline = small()
    named = named_for(baseline, "fraud", "3")
    assert (named.model, named.version) == ("fraud", "3")
    assert named.digest != baseline.digest
    assert from_json(to_json(named)) == named


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [None, None]},
        {"x": [math.inf, -math.inf, 1.0]},
        {"x": [5e-324, 1.7976931348623157e308, -1.7976931348623157e308]},
        {"x": ["\ud800", "é", "x" * 5_000]},
        {"x": [10**400, 1, 2, 3]},
        {"x": [0.0]},
    ],
)
def test_strange_columns_survive_a_round_trip(columns: dict[str, list[Any]]) -> None:
    baseline = build_baseline(columns, now=NOW)
    assert from_json(to_json(baseline)) == baseline


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.none() | st.floats() | st.integers(), st.none() | st.text(max_size=4) | st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_any_columns_survive_a_round_trip(rows: list[tuple[Any, Any]]) -> None:
    columns = {"number": [row[0] for row in rows], "text": [row[1] for row in rows]}
    baseline = build_baseline(columns, now=NOW)
    assert from_json(to_json(baseline)) == baseline
    for feature in baseline.features:
        np.testing.assert_array_equal(feature.cells.count(columns[feature.name]), feature.counts)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for part in parents:
            place = place[int(part) if part.isdigit() else part]
        place[int(last) if last.isdigit() else last] = value

    return change


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        del document["features"][0][name]

    return change


def _twice(document: dict[str, Any]) -> None:
    document["features"][1] = document["features"][0]


def _too_many(document: dict[str, Any]) -> None:
    country = document["features"][1]
    document["features"] = [country | {"name": f"f{number}"} for number in range(5_001)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("format", "sidecar-baseline/9"), "this version reads"),
        (_set("format", "x" * 10_000), "this version reads"),
        (_set("format", 7), "cannot be read"),
        (_set("rows", 0), "cannot be read"),
        (_set("rows", 401), "rows"),
        (_set("rows", "400"), "cannot be read"),
        (_set("created_at", "2026-01-02T03:04:05"), "cannot be read"),
        (_set("surprise", 1), "surprise"),
        (_set("features", {}), "cannot be read"),
        (_set("features.0.counts.1", -1), "cannot be read"),
        (_set("features.0.counts.1", 2**60), "cannot be read"),
        (_set("features.0.counts.1", 1.5), "cannot be read"),
        (_set("features.0.counts", [400]), "1 counts for"),
        (_set("features.0.n", 7), "n is 7"),
        (_set("features.0.missing", 7), "missing and wrong_type"),
        (_set("features.0.edges.1", -1e300), "ascend"),
        (_set("features.0.edges", []), "at least one edge"),
        (_set("features.0.edges.1", "NaN"), "cannot be read"),
        (_set("features.0.quantiles", [1.0]), "1 quantiles instead of 512"),
        (_set("features.0.quantiles.0", 1e300), "descend"),
        (_set("features.0.log_histogram", {"cells": [1], "counts": [3]}), "log histogram counts 3"),
        (_set("features.0.log_histogram", {"cells": [3, 1], "counts": [1, 1]}), "ascend"),
        (_set("features.0.log_histogram", {"cells": [1], "counts": [0]}), "cannot be read"),
        (_set("features.0.categories", ["a"]), "has categories"),
        (_set("features.0.kind", "categorical"), "counts for"),
        (_set("features.0.kind", "ordinal"), "cannot be read"),
        (_set("features.0.name", ""), "cannot be read"),
        (_set("features.1.mean", 1.0), "figures of a numeric one"),
        (_set("features.1.categories", ["DE", "DE", "FR"]), "twice"),
        (_set("prediction.n", 1), "'score'"),
        (_set("features.0.natural_variation", -1.0), "cannot be read"),
        (_set("features.0.natural_variation", 1e999), "cannot be read"),
        (_set("features.0.overdispersion", 0.5), "cannot be read"),
        (_set("features.0.blocks", 65), "cannot be read"),
        (_set("time", {"column": "at", "blocks": 1, "days_per_block": 1, "undated": 401}), "undated"),
        (_set("time", {"column": "at", "blocks": 65, "days_per_block": 1}), "cannot be read"),
        (_set("calibration.edges.1", -1.0), "calibration of the baseline: edges must ascend"),
        (_set("calibration.edges", [0.0]), "counts need"),
        (_set("calibration.counts", []), "0 counts need 1 edges"),
        (_set("calibration.positives.0", 400), "more positives than rows"),
        (_set("calibration.counts.0", 400), "more rows than there are"),
        (_set("calibration.means", [0.5]), "counts need"),
        (_set("outcome", None), "needs a prediction and an outcome"),
        (_set("outcome.n", 1), "outcome"),
        (_set("outcome.positives", 10_000), "outcome"),
        (_drop("mean"), "needs minimum"),
        (_drop("log_histogram"), "needs minimum"),
        (_drop("counts"), "cannot be read"),
        (_twice, "same name"),
        (_too_many, "more than 5000"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused_though_its_digest_fits(
    change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    document = json.loads(to_json(small()))
    change(document)
    with pytest.raises(InvalidDocument, match=reason):
        from_json(resealed(document))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"format": "sidecar-baseline/1"}',
        b'{"format": "sidecar-baseline/1", "a": ' + b"[" * 100_000,
        b'{"format": "sidecar-baseline/1", "rows": 1e999}',
        b'{"format": "sidecar-baseline/1", "rows": NaN}',
        b" " * (DOCUMENT_LIMIT_BYTES + 1),
    ],
    ids=range(12),
)
def test_bytes_that_are_no_baseline_are_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        from_json(data)


def test_every_truncation_of_a_document_is_refused() -> None:
    data = to_json(small())
    for end in range(0, len(data), 997):
        with pytest.raises(InvalidDocument):
            from_json(data[:end])


def test_a_changed_document_does_not_fit_its_digest() -> None:
    document = json.loads(to_json(small()))
    document["source"]["name"] = "other"
    with pytest.raises(InvalidDocument, match="digest"):
        from_json(json.dumps(document).encode())


def test_a_baseline_that_was_not_sealed_is_not_written() -> None:
    changed = msgspec.structs.replace(small(), model="fraud")
    with pytest.raises(InvalidDocument, match="digest"):
        to_json(changed)


def test_numbers_that_json_cannot_hold_are_not_sealed() -> None:
    baseline = small()
    amount = msgspec.structs.replace(baseline.features[0], mean=math.nan)
    with pytest.raises(InvalidDocument, match="not finite"):
        sealed(msgspec.structs.replace(baseline, features=(amount,)))
    weighted = msgspec.structs.replace(baseline.features[1], importance=math.inf)
    with pytest.raises(InvalidDocument, match="importance"):
        sealed(msgspec.structs.replace(baseline, features=(weighted,)))


def test_text_that_is_not_unicode_is_not_sealed() -> None:
    baseline = Baseline(format=FORMAT, created_at=NOW, rows=1, source=Source(name="\ud800"), features=())
    with pytest.raises(InvalidDocument, match="Unicode"):
        sealed(baseline)


def test_negative_counts_made_in_memory_are_not_sealed() -> None:
    baseline = small()
    counts = list(baseline.features[1].counts)
    counts[0], counts[1] = -1, counts[0] + counts[1] + 1
    country = msgspec.structs.replace(baseline.features[1], counts=tuple(counts))
    with pytest.raises(InvalidDocument, match="negative"):
        sealed(msgspec.structs.replace(baseline, features=(country,)))
