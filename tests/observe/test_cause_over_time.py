from __future__ import annotations

import msgspec
import pytest

from sidecar.observe.cause_over_time import SO_FAR, next_cause, same_cause
from sidecar.reports import Cause

UNEXPLAINED = Cause(kind="unexplained", says="no known fault explains the change")
CENTS = Cause(kind="scale", says="× 100", factor=100.0, share=0.3, explained=0.95)
SQUARED = Cause(kind="function", says="x²", name="square", explained=0.97)
NEW = Cause(kind="new_category", says="never seen", explained=1.0)
CODES = Cause(kind="recode", says="as whole numbers", explained=1.0)
GAPS = Cause(kind="missing", says="missing", explained=1.0)
GAPS_BESIDE = Cause(kind="missing", says="missing", explained=0.0)
SWAP = Cause(kind="swap", says="the values are those of b", with_="b", explained=1.0)
CONFIRMED = msgspec.structs.replace(CENTS, confirmed=True)
MORE = msgspec.structs.replace(CENTS, share=0.35)


def never() -> Cause:
    raise AssertionError("rows from before the change were asked although later ones named something")


@pytest.mark.parametrize(
    ("known", "later", "told"),
    [
        (None, CENTS, CENTS),
        (UNEXPLAINED, CENTS, CENTS),
        (CENTS, MORE, MORE),
        (CENTS, SQUARED, SQUARED),
        (CENTS, UNEXPLAINED, CENTS),
        (CENTS, None, CENTS),
        (CENTS, NEW, CENTS),
        (CENTS, GAPS_BESIDE, CENTS),
        (CENTS, GAPS, GAPS),
        (NEW, CODES, CODES),
        (CODES, NEW, CODES),
        (SWAP, CENTS, SWAP),
        (CENTS, SWAP, SWAP),
        (CONFIRMED, SQUARED, CONFIRMED),
        (CONFIRMED, MORE, CONFIRMED),
    ],
)
def test_a_name_gives_way_only_to_one_that_says_as_much(known: Cause | None, later: Cause | None, told: Cause) -> None:
    assert next_cause(known, later, never, healing=False) is told


@pytest.mark.parametrize("later", [MORE, SQUARED, UNEXPLAINED, None])
def test_rows_of_a_healing_feed_change_no_name(later: Cause | None) -> None:
    assert next_cause(CENTS, later, never, healing=True) is CENTS


@pytest.mark.parametrize("known", [None, UNEXPLAINED])
@pytest.mark.parametrize("later", [None, UNEXPLAINED])
def test_where_later_rows_name_nothing_all_rows_are_asked(known: Cause | None, later: Cause | None) -> None:
    found = next_cause(known, later, lambda: CENTS, healing=False)
    assert found is not None
    assert same_cause(found, CENTS)


def test_causes_are_the_same_whatever_their_shares_and_values_that_were_not_kept() -> None:
    filled = Cause(kind="constant", says="one value", value=-1.0)
    assert same_cause(CENTS, MORE)
    assert same_cause(filled, msgspec.structs.replace(filled, value=None))
    assert not same_cause(filled, msgspec.structs.replace(filled, value=-2.0))
    assert not same_cause(CENTS, SQUARED)
    assert same_cause(None, None)
    assert not same_cause(None, CENTS)


def test_a_share_told_by_the_onsets_own_bucket_is_called_so_far_until_later_rows_tell() -> None:
    first = next_cause(None, None, lambda: CENTS, healing=False)
    assert first is not None
    assert first.says == CENTS.says + SO_FAR
    assert next_cause(first, MORE, never, healing=False) == MORE
    whole = msgspec.structs.replace(CENTS, share=1.0)
    assert next_cause(None, None, lambda: whole, healing=False) == whole
    assert next_cause(None, None, lambda: UNEXPLAINED, healing=False) == UNEXPLAINED
