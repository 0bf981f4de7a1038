"""The published JSON Schema is the types', takes what is a baseline and nothing that cannot be one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from registry_client import baseline as formats
from registry_client import build_baseline, from_json, named_for, to_json
from registry_client.baseline_schema import json_schema, schema_text
from registry_client.errors import InvalidDocument

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def table(rows: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    score = rng.random(rows)
    return {
        "at": np.datetime64("2026-01-01", "us") + np.arange(rows) * np.timedelta64(3, "h"),
        "amount": [None, *rng.lognormal(3, 1, rows - 1).tolist()],
        "huge": rng.normal(size=rows) * 1e300,
        "constant": [7.5] * rows,
        "zero": [-0.0, 0.0, 1e-320] * (rows // 3),
        "country": [("DE", "FR", "it's")[n % 3] for n in range(rows)],
        "id": [f"u{n}" for n in range(rows)],
        "nothing": [None] * rows,
        "score": score,
        "fraud": (rng.random(rows) < score).astype(int),
    }


def everything() -> formats.Baseline:
    roles: dict[str, Any] = {"prediction": "score", "outcome": "fraud", "time": "at"}
    built = build_baseline(table(), **roles, name="training", importance={"amount": 0.25}, now=NOW)
    return named_for(built, "fraud", "3")


def plain(baseline: formats.Baseline) -> Any:
    return json.loads(to_json(baseline))


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads((DOCS / "baseline.schema.json").read_bytes())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def test_the_published_schema_is_that_of_the_types() -> None:
    published = (DOCS / "baseline.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run: python -m scripts.write_baseline_schema"


@pytest.mark.parametrize(
    "made",
    [
        everything,
        lambda: build_baseline({"amount": [1.5]}, now=NOW),
        lambda: build_baseline({"flag": [0, 1, None]}, outcome=None, now=NOW),
        lambda: build_baseline(table(3), time="at", now=NOW),
    ],
)
def test_baselines_are_valid(validator: Any, made: Callable[[], formats.Baseline]) -> None:
    assert [error.message for error in validator.iter_errors(plain(made()))] == []


def test_a_baseline_with_every_default_written_out_is_valid(validator: Any) -> None:
    document = plain(build_baseline({"amount": [1.5, 2.5], "flag": [0, 1]}, now=NOW))
    for feature in document["features"]:
        for field in msgspec.structs.fields(formats.FeatureBaseline):
            if field.default is not msgspec.NODEFAULT:
                feature.setdefault(field.name, field.default if field.default != () else [])
    document |= {"model": None, "version": None, "prediction": None, "outcome": None}

    assert [error.message for error in validator.iter_errors(document)] == []


def feature(document: Any, name: str) -> Any:
    return next(one for one in document["features"] if one["name"] == name)


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "another format": lambda d: d.update(format="sidecar-baseline/2"),
    "no format": lambda d: d.pop("format"),
    "no digest": lambda d: d.pop("digest"),
    "a digest of another kind": lambda d: d.update(digest="md5:0"),
    "a digest with a line break": lambda d: d.update(digest="sha256:" + "0" * 64 + "\n"),
    "an unknown member": lambda d: d.update(surprise=1),
    "an unknown member of a feature": lambda d: feature(d, "amount").update(surprise=1),
    "no rows": lambda d: d.update(rows=0),
    "rows beyond what a number holds": lambda d: d.update(rows=1 << 60),
    "rows as a text": lambda d: d.update(rows="300"),
    "a time without a zone's text": lambda d: d.update(created_at="yesterday"),
    "features as an object": lambda d: d.update(features={}),
    "a feature without a name": lambda d: feature(d, "amount").pop("name"),
    "an empty name": lambda d: feature(d, "amount").update(name=""),
    "a negative count": lambda d: feature(d, "amount").update(missing=-1),
    "half a count": lambda d: feature(d, "amount")["counts"].__setitem__(0, 0.5),
    "a third kind": lambda d: feature(d, "amount").update(kind="text"),
    "a numeric feature without edges": lambda d: feature(d, "amount").pop("edges"),
    "a numeric feature without quantiles": lambda d: feature(d, "amount").pop("quantiles"),
    "a numeric feature with fewer quantiles": lambda d: feature(d, "amount")["quantiles"].pop(),
    "a numeric feature without a mean": lambda d: feature(d, "amount").pop("mean"),
    "a numeric feature with categories": lambda d: feature(d, "amount").update(categories=["a"]),
    "a numeric feature without a histogram": lambda d: feature(d, "amount").update(log_histogram=None),
    "a categorical feature with edges": lambda d: feature(d, "country").update(edges=[1.0]),
    "a categorical feature with a mean": lambda d: feature(d, "country").update(mean=1.0),
    "a category that is no text": lambda d: feature(d, "country").update(categories=[1, 2, 3]),
    "a histogram with an empty cell": lambda d: feature(d, "amount")["log_histogram"]["counts"].__setitem__(0, 0),
    "an outcome without its name": lambda d: d["outcome"].pop("name"),
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_a_baseline_is_refused_by_schema_and_reader_alike(
    validator: Any, damage: Callable[[Any], Any]
) -> None:
    document = copy.deepcopy(plain(everything()))
    damage(document)

    assert not validator.is_valid(document)
    with pytest.raises(InvalidDocument):
        from_json(json.dumps(document).encode())


def test_the_schema_bounds_the_number_of_features(validator: Any) -> None:
    document = plain(build_baseline({"flag": [0, 1]}, now=NOW))
    document["features"] *= formats.FEATURE_LIMIT + 1
    features = validator.schema["$defs"]["Baseline"]["properties"]["features"]

    assert not validator.evolve(schema={"maxItems": features["maxItems"]}).is_valid(document["features"])


@pytest.mark.parametrize("document", [None, [], "sidecar-baseline/1", 7, {}])
def test_what_is_no_document_is_refused(validator: Any, document: Any) -> None:
    assert not validator.is_valid(document)


def test_the_page_has_a_row_for_every_member_of_every_part() -> None:
    page = (DOCS / "baseline.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = {}
    for part, rows in re.findall(r"^\*\*(\w+)\*\*, [^\n]*\n\n((?:\|[^\n]*\n)+)", page, re.MULTILINE):
        cells = re.findall(r"^\| (`[^|]*`) \|", rows, re.MULTILINE)
        told[part] = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    definitions = json_schema()["$defs"]

    assert told == {part: set(definition["properties"]) for part, definition in definitions.items()}
