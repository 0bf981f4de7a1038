from __future__ import annotations

import msgspec
import numpy as np
import pytest

from bench.decide.late_outcomes import MARGIN, WORLDS, read, trusted
from sidecar.reports import Maturity

MATURE = Maturity(
    after_s=60.0,
    predicted=1_000,
    matched=900,
    coverage=0.9,
    better=10,
    worse=5,
    same=885,
    differing=40,
    undecided=0,
    bounds=(0.0, 0.0),
    arrival_e=1.0,
    refused=None,
)


@pytest.mark.parametrize("name", ["worse; positives in a day, negatives in 3 weeks", "better; all in a week"])
def test_late_outcomes_are_believed_only_where_they_may_be(name: str) -> None:
    found = read(WORLDS[name], np.random.default_rng(1))
    assert (found.bounded is not None) == name.startswith("better")


@pytest.mark.parametrize(
    ("arrival_e", "low", "believed"), [(1.0, -1.0, True), (100.0, -MARGIN / 2, True), (100.0, -2 * MARGIN, False)]
)
def test_outcomes_that_come_by_score_are_believed_if_the_missing_ones_cannot_matter(
    arrival_e: float, low: float, believed: bool
) -> None:
    assert trusted(msgspec.structs.replace(MATURE, arrival_e=arrival_e, bounds=(low, 1.0))) == believed
