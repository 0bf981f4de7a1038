from __future__ import annotations

import pytest

from sidecar.stats.spelling import spelling_between


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("Oslo", "Oslo ", "with spaces before or behind"),
        ("Oslo", "OSLO", "in upper or lower case"),
        ("straße", "STRASSE", "in upper or lower case"),
        ("caf\u00e9", "cafe\u0301", "in another Unicode form"),
        ("caf\u00e9", "cafe", "without or with accents"),
        ("1", "1.0", "with numbers written otherwise (1 as 1.0 or 01)"),
        ("7", "007", "with numbers written otherwise (1 as 1.0 or 01)"),
        ("1,5", "1.50", "with numbers written otherwise (1 as 1.0 or 01)"),
        ("-0", "0", "with numbers written otherwise (1 as 1.0 or 01)"),
        ("true", "True", "in upper or lower case"),
        ("true", "yes", "with flags written otherwise (true as True or yes)"),
        ("Oslo", "'Oslo'", "in quotes"),
        ("Oslo", "b'Oslo'", "in quotes"),
        ("New York", "New_York", "with other marks between words"),
        ("New York", "new_york ", "in another spelling"),
        ("Oslo", "Bonn", None),
        ("1", "2", None),
        ("Oslo", "Oslo", None),
    ],
)
def test_two_texts_are_one_by_the_first_difference_that_explains_them(one: str, other: str, says: str | None) -> None:
    assert spelling_between(one, other) == says
    assert spelling_between(other, one) == says


@pytest.mark.parametrize("text", ["", " ", "\ud800", "9" * 5_000, "\x00", "١٢", "'" * 1_000, "1" + "." * 500])
def test_odd_texts_disturb_nothing(text: str) -> None:
    assert spelling_between(text, "Oslo") is None
