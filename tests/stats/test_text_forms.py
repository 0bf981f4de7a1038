from __future__ import annotations

import pytest

from sidecar.stats.text_forms import common_form, form_of


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("7", "whole numbers"),
        ("-007", "whole numbers"),
        ("1.5", "numbers with decimals"),
        ("1,5", "numbers with decimals"),
        ("1.5e-3", "numbers with decimals"),
        ("2026-01-31", "dates"),
        ("2026-01-31T10:00:00Z", "dates"),
        ("31.1.2026", "dates"),
        ("9f86d081884c7d65", "hexadecimal keys"),
        ("123e4567-e89b-12d3-a456-426614174000", "hexadecimal keys"),
        ("Oslo", "words"),
        ("40K - 60K €", "words"),
        ("deadbeef", "words"),
        ("北京", "words"),
        ("", None),
        ("--", None),
        ("   ", None),
    ],
)
def test_a_text_has_the_first_form_that_fits_all_of_it(text: str, form: str | None) -> None:
    assert form_of(text) == form


def test_a_form_is_common_where_nine_in_ten_rows_have_it() -> None:
    assert common_form([("Oslo", 91.0), ("7", 9.0)]) == "words"
    assert common_form([("Oslo", 89.0), ("7", 11.0)]) is None
    assert common_form([]) is None
    assert common_form([("Oslo", 0.0)]) is None


@pytest.mark.parametrize("text", ["9" * 100_000, "a" * 100_000, "-" * 100_000, "1-" * 50_000])
def test_a_hostile_text_is_looked_at_quickly(text: str) -> None:
    form_of(text)
