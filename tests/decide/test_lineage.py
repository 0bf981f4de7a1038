from __future__ import annotations

import json

import pytest

from sidecar.decide.lineage import missing, noted, with_lineage

KNOWN = {
    "data": "s3://d@1",
    "code": "9f3c21d",
    "metrics.auc": "0.91",
    "params.trees": " ",
    "approved_by": "",
    "run": "r",
}


@pytest.mark.parametrize(
    ("required", "lacking"),
    [
        ((), ()),
        (("data", "code", "run"), ()),
        (("approved_by", "created_by"), ("approved_by", "created_by")),
        (("metrics", "metrics.*", "metrics.auc"), ()),
        (("params", "params.*"), ("params", "params.*")),
        (("metrics.auc.more", "metric"), ("metrics.auc.more", "metric")),
    ],
)
def test_a_field_is_there_when_it_says_something(required: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    assert missing(KNOWN, required) == lacking


def test_the_trail_keeps_a_digest_of_everything_and_the_fields_that_people_ask_for() -> None:
    kept = noted(KNOWN)
    assert set(kept) == {"digest", "data", "code", "run"}
    assert kept["digest"] != noted(KNOWN | {"metrics.auc": "0.92"})["digest"]
    assert kept == noted(dict(reversed(KNOWN.items()))), "the order says nothing"
    assert noted({"data": "x" * 5_000})["data"] == "x" * 200


def test_details_get_the_lineage_and_stay_canonical() -> None:
    details = with_lineage('{"force":false,"verdict":"pass"}', KNOWN)
    told = json.loads(details)
    assert (told["verdict"], told["lineage"]["code"]) == ("pass", "9f3c21d")
    assert details == json.dumps(told, sort_keys=True, separators=(",", ":"))
    assert with_lineage("{}", {}) == "{}"
