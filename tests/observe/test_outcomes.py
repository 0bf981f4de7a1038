from __future__ import annotations

import doctest

import pytest

from sidecar.observe import outcomes
from sidecar.observe.outcomes import Kept, KeptState, as_number, label_text, settle
from sidecar.records import Outcome

WINDOW_S = 1000.0


def posted(value: str | float = "1", *, corrects: bool = False, at: float = 100.0) -> Outcome:
    return Outcome("r", 0, value, at, corrects)


def kept(state: KeptState, value: str | float = "1") -> Kept:
    return Kept(value, state)


@pytest.mark.parametrize(
    ("outcome", "stored", "decided_at", "now", "counts_as", "stored_as", "replaces"),
    [
        (posted(), None, 50.0, 100.0, "matched", "matched", None),
        (posted(), None, 50.0, 1050.0, "matched", "matched", None),
        (posted(), None, 50.0, 1050.1, "late", "late", None),
        (posted(at=2000.0), None, 50.0, 100.0, "late", "late", None),
        (posted(), None, None, 100.0, "pending", "pending", None),
        (posted(1.0), kept("matched"), 50.0, 100.0, "duplicate", None, None),
        (posted(corrects=True), kept("matched"), 50.0, 100.0, "duplicate", None, None),
        (posted("0"), kept("matched"), 50.0, 100.0, "conflict", None, None),
        (posted("0", corrects=True), kept("matched"), 50.0, 100.0, "matched", "matched", "1"),
        # What was judged in time is not unjudged by a correction that comes too late.
        (posted("0", corrects=True), kept("matched"), 50.0, 9000.0, "late", None, None),
        (posted(), kept("pending"), None, 100.0, "duplicate", None, None),
        (posted("0"), kept("pending"), None, 100.0, "conflict", None, None),
        (posted("0", corrects=True), kept("pending"), None, 100.0, "pending", "pending", None),
        (posted("0"), kept("pending"), 50.0, 100.0, "matched", "matched", None),
        (posted(), kept("orphan"), None, 100.0, "orphan", None, None),
        (posted("0"), kept("orphan"), None, 100.0, "conflict", None, None),
        (posted("0", corrects=True), kept("orphan"), None, 100.0, "orphan", "orphan", None),
        (posted("0"), kept("orphan"), 50.0, 100.0, "matched", "matched", None),
        (posted(), kept("late"), 50.0, 9000.0, "duplicate", None, None),
        (posted("0"), kept("late"), 50.0, 9000.0, "conflict", None, None),
        (posted("0", corrects=True), kept("late"), 50.0, 9000.0, "late", "late", None),
    ],
)
def test_every_posted_outcome_has_one_of_six_states(
    outcome: Outcome,
    stored: Kept | None,
    decided_at: float | None,
    now: float,
    counts_as: str,
    stored_as: str | None,
    replaces: str | None,
) -> None:
    settled = settle(outcome, stored, decided_at, now, WINDOW_S)
    assert (settled.counts_as, settled.stored_as, settled.replaces) == (counts_as, stored_as, replaces)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"), (1, "1"), (1.0, "1"), (True, "1"), (False, "0"), ("1.000", "1"), ("-0", "0"), (-0.0, "0"),
        ("true", "true"), ("True", "True"), ("fraud", "fraud"), ("007", "007"), ("1e3", "1e3"), (1000.0, "1000"),
        (0.5, "0.5"),
        ("", ""), ("1.5", "1.5"), ("٣", "٣"), ("9" * 30, "9" * 30), (float("nan"), "nan"), ("1\n", "1\n"),
    ],
)  # fmt: skip
def test_one_text_for_what_means_the_same_label(value: str | float, text: str) -> None:
    assert label_text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0), (True, 1.0), ("12.5", 12.5), ("-1e3", -1000.0), ("nan", None), ("inf", None), (float("inf"), None),
        ("fraud", None), ("1_0", None), ("٣", None), ("1" * 41, None), ("", None), (10**400, None),
    ],
)  # fmt: skip
def test_only_finite_numbers_are_numbers(value: str | float, number: float | None) -> None:
    assert as_number(value) == number


def test_the_examples_hold() -> None:
    found = doctest.testmod(outcomes)
    assert found.attempted >= 2
    assert found.failed == 0
