from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.config_comparison import Comparison, NoiseFloor, Quality, SegmentBy


@pytest.mark.parametrize(
    ("section", "document", "says"),
    [
        (SegmentBy, {"feature": "a"}, "give them, or edges"),
        (SegmentBy, {"feature": "a", "values": ["x"], "edges": [1.0]}, "one of the two"),
        (SegmentBy, {"feature": "a", "values": ["x", "x"]}, "one comes twice"),
        (SegmentBy, {"feature": "a", "edges": [2.0, 1.0]}, "must ascend"),
        (SegmentBy, {"feature": "", "values": ["x"]}, "feature"),
        (SegmentBy, {"feature": "a", "values": [str(n) for n in range(21)]}, "at most 20"),
        (Comparison, {"segments": [{"feature": "a", "values": ["x"]}] * 2}, "by the same feature"),
        (Comparison, {"threshold": 1.0}, "threshold"),
        (Comparison, {"relative_tolerance": -0.1}, "relative_tolerance"),
        (NoiseFloor, {"share": 0.5}, "share"),
        (NoiseFloor, {"max_per_s": 0}, "max_per_s"),
        (Quality, {"metric": "recall"}, "threshold: is required"),
        (Quality, {"owner": "me@example.com"}, "threshold: is required"),
        (Quality, {"metric": "mae", "threshold": 0.5}, "metric"),
    ],
)
def test_settings_that_make_no_sense_are_refused(section: Any, document: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        section.model_validate(document)


def test_nothing_is_asked_stored_or_watched_by_default() -> None:
    assert Comparison().segments == ()
    assert NoiseFloor().share == 0.0
    assert Quality().threshold is None
