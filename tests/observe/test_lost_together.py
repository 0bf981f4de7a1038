from __future__ import annotations

import doctest
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from sidecar.observe import lost_together as module
from sidecar.observe.lost_together import LostTogether, lost_together
from sidecar.reports import Cause, CauseKind, FeatureDrift
from tests.observe.drift_traffic import live_rows, observer, sample

ONSET = 1_700_000_000.0


def lost(name: str, share: float = 0.3, usual: int = 0, since: float = ONSET, **changed: Any) -> FeatureDrift:
    kind: CauseKind = changed.pop("cause", "missing")
    known: dict[str, Any] = {
        "name": name, "kind": "numeric", "n": 1_000, "psi": None, "psi_noise": None, "kl_lower": 0.2, "e_value": 1e9,
        "alarm": True, "since": since, "missing": share, "wrong_type": 0.0, "unseen": 0.0,
        "cause": Cause(kind=kind, says="", share=share), "cells": ("0", "missing", "wrong type"),
        "baseline_counts": (1_000 - usual, usual, 0), "live_counts": (700, 300, 0),
    }  # fmt: skip
    return FeatureDrift(**known | changed)


def lacking(share: float) -> FeatureDrift:
    return lost("schema", share, cells=("as trained", "keys missing", "unreadable"))


def names(found: tuple[LostTogether, ...]) -> list[tuple[str, ...]]:
    return [group.names for group in found]


def test_keys_lost_in_the_same_rows_are_one_group_and_that_is_known() -> None:
    (group,) = lost_together([lost("a"), lost("b", 0.31), lost("c", 0.29)], lacking(0.3))
    assert group == LostTogether(("a", "b", "c"), 0.3, ONSET, same_rows=True)


def test_keys_lost_in_other_rows_are_no_group() -> None:
    assert lost_together([lost("a"), lost("b")], lacking(0.51)) == ()


def test_values_that_are_null_together_are_one_group_though_no_key_is_absent() -> None:
    (group,) = lost_together([lost("a", 1.0), lost("b", 1.0)], None)
    assert not group.same_rows
    assert group.says == "a and b are missing together, in all rows: one fault, as it seems"


def test_rows_that_lack_fewer_keys_than_values_are_missing_prove_nothing() -> None:
    (group,) = lost_together([lost("a"), lost("b")], lacking(0.05))
    assert not group.same_rows


def test_what_training_lacked_too_is_taken_off_before_shares_are_compared() -> None:
    # Half was missing anyway; of the rest 30 % is lost.
    found = lost_together([lost("a", 0.65, usual=500), lost("b", 0.3)], lacking(0.3))
    assert names(found) == [("a", "b")]
    assert lost_together([lost("a", 0.5, usual=1_000), lost("b", 0.5)], None) == ()


@pytest.mark.parametrize(
    "other",
    [
        lost("b", 0.6),
        lost("b", since=ONSET + 3_600.0),
        lost("b", cause="scale"),
        lost("b", alarm=False),
        lost("b", cause="unexplained"),
    ],
    ids=["another share", "another time", "another cause", "no alarm", "no cause"],
)
def test_a_feature_with_another_story_is_no_part_of_it(other: FeatureDrift) -> None:
    assert lost_together([lost("a"), other], None) == ()


def test_two_faults_at_once_are_two_groups_whatever_the_order() -> None:
    four = [lost("a", 0.1), lost("b", 0.1), lost("c", 0.6), lost("d", 0.6)]
    expected = {("a", "b"), ("c", "d")}
    for order in permutations(four):
        found = lost_together(order, lacking(0.64))
        assert set(names(found)) == expected
        assert not any(group.same_rows for group in found)


def test_the_weightiest_comes_first_and_a_long_list_is_cut() -> None:
    features = [lost(f"f{place}", 1.0, kl_lower=place / 10) for place in range(12)]
    (group,) = lost_together(features, lacking(1.0))
    assert group.names[:2] == ("f11", "f10")
    assert group.says == (
        "f11, f10, f9 and 9 more are missing together, in all rows: those requests lost 12 fields at once"
    )


def test_nothing_missing_is_no_group() -> None:
    assert lost_together([], None) == ()
    assert lost_together([lost("a")], lacking(0.3)) == ()


@pytest.mark.parametrize("share", [1.0, 0.4], ids=["all rows", "part of the rows"])
def test_requests_without_two_keys_are_one_group_as_the_watch_tells_them(share: float) -> None:
    rng, watch = np.random.default_rng(5), observer()
    for bucket in range(12):
        rows, at = live_rows(rng, 100), 60.0 * bucket
        whole = int(100 * (1 - share)) if bucket >= 6 else 100
        watch.fold(sample({name: column[:whole] for name, column in rows.items()}, whole, at=at))
        watch.fold(sample({"city": rows["city"][whole:]}, 100 - whole, at=at))
        watch.tick(at + 60.0)
    report = watch.report()
    (group,) = lost_together(report.features, report.schema)
    assert (set(group.names), group.same_rows) == ({"age", "amount"}, True)
    assert group.share == pytest.approx(share, abs=0.02)


def test_the_example_in_its_docstring_is_true() -> None:
    assert doctest.testmod(module).failed == 0
